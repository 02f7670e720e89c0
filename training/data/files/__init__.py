"""Data sets as people have them on a disk: folders, archives and tables → files and classes."""
