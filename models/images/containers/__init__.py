"""What a file of each image format holds, read before it is decoded: one format a module.

    encoded file → `claim`: size and work, from the header, in microseconds
                 → `essence`: the same file without its metadata, and its EXIF orientation

Pillow reads a file's blocks one by one in Python, and decompresses or parses what no pixel depends
on. So it gets only the blocks that decide pixels. The functions count the blocks, compare the size
that the header claims with the bytes that are there, and check the checksums that there are. None
of them takes more than some milliseconds for a file of 32 MiB.
"""
