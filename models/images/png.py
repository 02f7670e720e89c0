"""Small plain PNGs, decoded by libspng in microseconds, to the same pixels as by Pillow.

PNGs that are not plain are left to Pillow, which knows better what they mean or what is wrong.
Where pyspng is not installed, all are.
"""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

try:
    import pyspng
except ImportError:  # the extra `png`
    pyspng = None

MAX_PIXELS = 128 * 128  # of a picture that is decoded in less time than a thread wakes up
_MAX_BYTES = 2**16
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BEGINNING = _SIGNATURE + b"\0\0\0\rIHDR"
_END = b"\0\0\0\0IEND\xae\x42\x60\x82"
_IHDR = struct.Struct(">16x2I5BI")
_CHUNK = struct.Struct(">I4s")
_CHECK_SUM = struct.Struct(">I")  # of the kind and the content of a chunk


def pixels(encoded: bytes, max_pixels: int | None = None) -> NDArray[np.uint8] | None:
    """Decode a small whole PNG that needs no interpretation, to uint8 (H, W) or (H, W, 3).

    None for larger ones, interlaced ones, those not of eight bits, those with other chunks than
    pixels, which may change what is seen (transparency, EXIF), and damaged ones. None for all
    without pyspng.
    """
    if pyspng is None:
        return None
    if not _IHDR.size <= len(encoded) <= _MAX_BYTES or not encoded.startswith(_BEGINNING):
        return None
    width, height, depth, color, _, _, interlaced, check_sum = _IHDR.unpack_from(encoded)
    most = MAX_PIXELS if max_pixels is None else min(MAX_PIXELS, max_pixels)
    if not 0 < width * height <= most or depth != 8 or color not in (0, 2) or interlaced:
        return None
    if zlib.crc32(encoded[12:29]) != check_sum or not _has_only_pixels(encoded):
        return None
    try:
        found: NDArray[np.uint8] = pyspng.load(encoded)
    except RuntimeError:
        return None
    return found


def _has_only_pixels(encoded: bytes) -> bool:
    """Return whether a PNG has only pixels, with right checksums, between header and end."""
    position, end = _IHDR.size, len(encoded) - len(_END)
    while position < end:
        length, kind = _CHUNK.unpack_from(encoded, position)
        stop = position + _CHUNK.size + length
        if kind != b"IDAT" or stop >= end:
            return False
        if zlib.crc32(encoded[position + 4 : stop]) != _CHECK_SUM.unpack_from(encoded, stop)[0]:
            return False
        position = stop + _CHECK_SUM.size
    return position == end and encoded.endswith(_END)
