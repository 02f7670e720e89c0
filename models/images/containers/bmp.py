"""BMP: a header, and pixels as they are (Microsoft, BITMAPINFOHEADER)."""

import struct

from models.errors import ImageError
from models.images.containers.essence import Claim, Essence

_OLD_HEADER = 12  # bytes; its sizes have 16 bits
_RUN_LENGTH = (1, 2)  # kinds of compression


def claim(encoded: bytes) -> Claim | None:
    """Read size and work from the header; return None if it is cut off."""
    found = _header(encoded)
    return None if found is None else Claim(found[0], found[1], found[0] * found[1])


def essence(encoded: bytes) -> Essence:
    """Return the file as it is, since a BMP has no metadata.

    Raises `ImageError` for run-length encoding, and for more pixels than there are bytes for.
    """
    found = _header(encoded)
    if found is None:
        raise ImageError("corrupt or truncated: a BMP without its header")
    width, height, bits, compression = found
    if compression in _RUN_LENGTH:
        raise ImageError("a run-length encoded BMP; save it uncompressed")
    line = (width * bits + 31) // 32 * 4
    needed = line * (height - 1) + (width * bits + 7) // 8
    start = struct.unpack_from("<I", encoded, 10)[0]
    if needed > len(encoded) - start:
        raise ImageError(
            f"corrupt or truncated: {width} × {height} pixels need {needed:,} bytes, and there are "
            f"{max(0, len(encoded) - start):,}"
        )
    return Essence(encoded, Claim(width, height, width * height))


def _header(encoded: bytes) -> tuple[int, int, int, int] | None:
    """Return width, height, bits per pixel and compression; None if the header is cut off."""
    if len(encoded) < 26:
        return None
    if encoded[14:18] == _OLD_HEADER.to_bytes(4, "little"):
        width, height, _, bits = struct.unpack_from("<4H", encoded, 18)
        return width, height, bits, 0
    if len(encoded) < 34:
        return None
    width, height, _, bits, compression = struct.unpack_from("<2i2HI", encoded, 18)
    return abs(width), abs(height), bits, compression
