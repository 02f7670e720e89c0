"""Rejects encoded images that would cost Pillow far more time than their size suggests.

Pillow parses a file's blocks one by one in Python, partly in quadratic time. A few kilobytes must
not keep a decoding thread busy for minutes.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

MAX_SEGMENTS = 1000  # of a JPEG before its first scan; cameras write some dozens
MAX_EXIF = 2**17  # bytes of a JPEG; the standard has a segment of half as many
MAX_SCANS = 100  # of a JPEG, each a pass over all its pixels; usual progressive ones have ten
BLOCK_BYTES = 2**20  # bytes that are looked through at once
_SEQUENTIAL, _SCAN, _APP1 = (0xC0, 0xC1), 0xDA, 0xE1  # markers of JPEG (ITU T.81, table B.1)
_OTHER_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_JUNK = -1
MAX_GIF_EXTENSIONS = 2**20  # bytes before a GIF's first picture


class Frame(NamedTuple):
    """Size and components of a JPEG; `head` counts the bytes before its first scan."""

    width: int
    height: int
    components: int
    head: int


def only_frame(jpeg: bytes) -> Frame | None:
    """The frame of a sequential JPEG that may be decoded and has all components in its first scan.

    libjpeg makes one pass over such a one, and takes a second scan for an error. None for others.
    """
    return _only_frame(jpeg, islice(_segments(jpeg), MAX_SEGMENTS))


def _only_frame(jpeg: bytes, segments: Iterable[tuple[int, int]]) -> Frame | None:
    frame = b""
    for marker, start in segments:
        if marker in _SEQUENTIAL and not frame:
            frame = jpeg[start + 5 : start + 10]
        elif marker == _SCAN:
            if len(frame) < 5 or frame[4:] != jpeg[start + 4 : start + 5]:
                return None
            return Frame(int.from_bytes(frame[2:4]), int.from_bytes(frame[:2]), frame[4], start)
        elif marker in _OTHER_FRAMES:
            return None
    return None


def scans(jpeg: bytes) -> int:
    """An upper bound of a JPEG's scans; counting stops above `MAX_SCANS`."""
    levels = np.frombuffer(jpeg, np.uint8)  # in an eighth of the time that bytes.count takes
    found = 0
    for start in range(0, len(levels), BLOCK_BYTES):
        block = levels[start : start + BLOCK_BYTES + 1]
        found += int(np.count_nonzero((block[:-1] == 0xFF) & (block[1:] == 0xDA)))
        if found > MAX_SCANS:
            break
    return found


def jpeg_refusal(encoded: bytes) -> str | None:
    """Why the JPEG must not be decoded, or None if it may."""
    segments = list(_segments(encoded))
    if len(segments) > MAX_SEGMENTS:
        return f"a JPEG of more than {MAX_SEGMENTS:,} segments before its first scan"
    exif = sum(
        _length(encoded, start)
        for marker, start in segments
        if marker == _APP1 and encoded.startswith(b"Exif", start + 4)
    )
    if exif > MAX_EXIF:
        return f"a JPEG of more than {MAX_EXIF:,} bytes of EXIF"
    if _only_frame(encoded, segments) is None and scans(encoded) > MAX_SCANS:
        return f"a JPEG of too many scans; at most {MAX_SCANS} are taken"
    return None


def _segments(jpeg: bytes) -> Iterator[tuple[int, int]]:
    """The markers of a JPEG with their places, up to its first scan or one too many.

    A byte of junk or padding counts as one, since it is a step of Pillow's as well.
    """
    position = 2
    for _ in range(MAX_SEGMENTS + 1):
        begun = jpeg[position : position + 2]
        if len(begun) < 2:
            return
        first, marker = begun
        if first != 0xFF or marker == 0xFF:
            yield _JUNK, position
            position += 1
        elif marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD9:
            yield marker, position
            position += 2  # these have no length
        else:
            yield marker, position
            if marker == _SCAN:
                return
            position += 2 + _length(jpeg, position)


def _length(jpeg: bytes, start: int) -> int:
    """The bytes of the segment whose marker is there, without that."""
    return max(2, int.from_bytes(jpeg[start + 2 : start + 4]))


def gif_refusal(encoded: bytes) -> str | None:
    """Why the GIF must not be decoded, or None if it may."""
    flags = encoded[10] if len(encoded) > 10 else 0
    position = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)  # behind the colour table
    while encoded[position : position + 1] == b"!":
        position += 2  # the introducer and the label
        while position < len(encoded) and encoded[position]:
            position += 1 + encoded[position]  # sub-blocks, until an empty one
            if position > MAX_GIF_EXTENSIONS:
                return f"a GIF of more than {MAX_GIF_EXTENSIONS:,} bytes before its first picture"
        position += 1
    return None


def bmp_refusal(encoded: bytes) -> str | None:
    """Why the BMP must not be decoded, or None if it may."""
    if encoded[30:34] in (b"\1\0\0\0", b"\2\0\0\0"):
        return "a run-length encoded BMP; save it uncompressed"
    return None
