"""Small plain PNGs, decoded by libspng: in microseconds, to the pixels that Pillow finds.

Whatever is not quite plain is left to Pillow, which knows better what it means or what is wrong.
"""

import struct
import zlib

import numpy as np
import pyspng
from numpy.typing import NDArray

MAX_PIXELS = 128 * 128  # of a picture that is decoded in less time than a thread wakes up
_MAX_BYTES = 2**16
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BEGINNING = _SIGNATURE + b"\0\0\0\rIHDR"
_IHDR = struct.Struct(">16x2I5B4x")
_CHUNK = struct.Struct(">I4s")
_AROUND = 12  # bytes of a chunk that are not its content: length, kind and check sum


def pixels(encoded: bytes, max_pixels: int | None = None) -> NDArray[np.uint8] | None:
    """The pixels of a small whole PNG that needs no interpretation, uint8 (H, W) or (H, W, 3).

    None for others: larger ones, those that are interlaced or not of eight bits, those with chunks
    besides the pixels, which may change what is seen as transparency and EXIF do, and damaged ones.
    """
    if not _IHDR.size <= len(encoded) <= _MAX_BYTES or not encoded.startswith(_BEGINNING):
        return None
    width, height, depth, color, *_, interlaced = _IHDR.unpack_from(encoded)
    most = MAX_PIXELS if max_pixels is None else min(MAX_PIXELS, max_pixels)
    if not 0 < width * height <= most or depth != 8 or color not in (0, 2) or interlaced:
        return None
    if not _has_only_pixels(encoded):
        return None
    try:
        found: NDArray[np.uint8] = pyspng.load(encoded)
    except RuntimeError:
        return None
    return found


def _has_only_pixels(encoded: bytes) -> bool:
    """Whether a PNG is its header, its pixels and its end, all with their check sums."""
    position, kind = len(_SIGNATURE), b"IHDR"
    while kind != b"IEND":
        if position + _AROUND > len(encoded):
            return False
        length, kind = _CHUNK.unpack_from(encoded, position)
        end = position + _AROUND + length
        checked = zlib.crc32(encoded[position + 4 : end - 4]).to_bytes(4, "big")
        if checked != encoded[end - 4 : end]:
            return False
        if kind not in (b"IDAT", b"IEND") and position > len(_SIGNATURE):
            return False
        position = end
    return True
