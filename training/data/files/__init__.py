"""Data sets on disk as users have them: folders, archives and tables → files and classes."""
