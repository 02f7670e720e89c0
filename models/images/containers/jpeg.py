"""JPEG: segments, then scans (ITU T.81, B)."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from models.errors import ImageError
from models.images.containers.essence import MAX_EXIF, Claim, Essence, orientation

MAX_SEGMENTS = 1000  # before its first scan; cameras write some dozens
MAX_SCANS = 100  # each a pass over all its pixels; usual progressive ones have ten
MAX_SCANNED = 500_000_000  # scans times pixels: ten scans of 50 million pixels
MAX_RATIO = 512  # pixels a byte of Huffman codes: at least one bit for a block of 8 × 8
BLOCK_BYTES = 2**20  # bytes that are looked through at once
SEGMENTS_OF_A_CLAIM = 64  # that `claim` looks at
_SEQUENTIAL, _SCAN, _APP1 = (0xC0, 0xC1), 0xDA, 0xE1  # markers (table B.1)
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_ARITHMETIC = {*range(0xC9, 0xD0)}
# APP0 says how colours are meant (JFIF), APP14 too (Adobe); the others, and comments, do not
_DROPPED = {*range(0xE1, 0xEE), 0xEF, 0xFE}
_JUNK = -1


class Frame(NamedTuple):
    """Size and components of a JPEG; `head` counts the bytes before its first scan."""

    width: int
    height: int
    components: int
    head: int


def only_frame(jpeg: bytes) -> Frame | None:
    """Return the frame of a sequential JPEG whose first scan has all components; None for others.

    libjpeg decodes such a file in one pass, and takes a second scan for an error.
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
        elif marker in _FRAMES:
            return None
    return None


def claim(encoded: bytes) -> Claim | None:
    """Read the size from the first frame header, if that stands near the beginning.

    The work of a JPEG that is not sequential counts as four scans.
    """
    for marker, start in islice(_segments(encoded), SEGMENTS_OF_A_CLAIM):
        if marker in _FRAMES:
            return _claim(encoded, marker, start, 1 if marker in _SEQUENTIAL else 4)
    return None


def _claim(encoded: bytes, marker: int, start: int, scans: int) -> Claim | None:
    size = encoded[start + 5 : start + 9]
    if len(size) < 4:
        return None
    width, height = int.from_bytes(size[2:]), int.from_bytes(size[:2])
    return Claim(width, height, width * height * scans)


def scans(jpeg: bytes) -> int:
    """Return an upper bound of a JPEG's scans; counting stops above `MAX_SCANS`."""
    levels = np.frombuffer(jpeg, np.uint8)  # in an eighth of the time that bytes.count takes
    found = 0
    for start in range(0, len(levels), BLOCK_BYTES):
        block = levels[start : start + BLOCK_BYTES + 1]
        found += int(np.count_nonzero((block[:-1] == 0xFF) & (block[1:] == 0xDA)))
        if found > MAX_SCANS:
            break
    return found


def essence(encoded: bytes) -> Essence:
    """Return tables, frame and scans, with the two segments that say how colours are meant.

    Raises `ImageError` for too many segments or scans, and for pixels that can't be in so few
    bytes.
    """
    segments = list(_segments(encoded))
    if len(segments) > MAX_SEGMENTS:
        raise ImageError(
            f"a JPEG of more than {MAX_SEGMENTS:,} segments before its first scan; save it anew"
        )
    _check(encoded, segments)
    kept, exif, xmp = [encoded[:2]], b"", b""
    view = memoryview(encoded)
    claimed = None
    for marker, start in segments:
        stop = start + 2 + _length(encoded, start)
        if marker == _APP1 and encoded.startswith(b"Exif\0\0", start + 4):
            if len(exif) < MAX_EXIF:  # more is not looked at
                exif += encoded[start + (10 if exif else 4) : min(stop, start + MAX_EXIF)]
        elif marker == _APP1 and encoded.startswith(b"http://ns.adobe.com/xap/1.0/\0", start + 4):
            xmp = encoded[start:stop]
        if marker in _FRAMES and claimed is None:
            claimed = _claim(encoded, marker, start, 1)
        if marker == _SCAN:
            kept.append(view[start:])  # type: ignore[arg-type] # join takes it
        elif marker not in _DROPPED and marker > 0x01 and not 0xD0 <= marker <= 0xD9:
            kept.append(view[start:stop])  # type: ignore[arg-type] # join takes it
    return Essence(b"".join(kept), claimed, orientation(exif, xmp))


def _check(encoded: bytes, segments: list[tuple[int, int]]) -> None:
    """Raise `ImageError` for too many scans, and for more pixels than the bytes can hold."""
    frames = [(marker, start) for marker, start in segments if marker in _FRAMES]
    claimed = _claim(encoded, *frames[0], 1) if frames else None
    if claimed is None:
        return  # Pillow will say what is wrong
    if frames[0][0] not in _ARITHMETIC and claimed.pixels > len(encoded) * MAX_RATIO:
        raise ImageError(
            f"corrupt or truncated: {claimed.width} × {claimed.height} pixels can't be in "
            f"{len(encoded):,} bytes"
        )
    if _only_frame(encoded, segments) is not None:
        return
    if (found := scans(encoded)) > MAX_SCANS:
        raise ImageError(f"a JPEG of too many scans; at most {MAX_SCANS} are taken: save it anew")
    if found * claimed.pixels > MAX_SCANNED:
        raise ImageError(
            f"a JPEG of {found} scans over {claimed.pixels:,} pixels; at most "
            f"{MAX_SCANNED:,} pixels in all scans together are taken: save it as a baseline JPEG"
        )


def _segments(jpeg: bytes) -> Iterator[tuple[int, int]]:
    """Yield the markers of a JPEG with their positions, up to its first scan or `MAX_SEGMENTS` + 1.

    A byte of junk or padding counts as a marker, since Pillow too handles it in a step of its own.
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
    """Return the length in bytes of the segment at `start`, without its marker."""
    return max(2, int.from_bytes(jpeg[start + 2 : start + 4]))
