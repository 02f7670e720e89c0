"""Netpbm: a header of a few numbers, then pixels as text or as bytes (netpbm.sourceforge.net)."""

import re

from models.errors import ImageError
from models.images.containers.essence import Claim, Essence

MAX_HEADER = 2**12  # bytes, with comments
_BREAK = rb"(?:\s|#[^\r\n]*[\r\n])+"
_HEADER = re.compile(rb"(P[1-6])" + (_BREAK + rb"(\d{1,10})") * 2)
_HIGHEST = re.compile(_BREAK + rb"(\d{1,10})")  # the value of white; maps of single bits have none
_TEXT_WORK = 50  # times that of a pixel that is stored as it is
_BITS = (b"P1", b"P4")


def claim(encoded: bytes) -> Claim | None:
    """Read size and work from the header; return None if there is none."""
    header = _HEADER.match(encoded, 0, MAX_HEADER)
    if header is None:
        return None
    width, height = int(header[2]), int(header[3])
    return Claim(width, height, width * height * (_TEXT_WORK if header[1] <= b"P3" else 1))


def essence(encoded: bytes) -> Essence:
    """Return the picture with a header that has no comments.

    Raises `ImageError` for floating-point pixels, and for more pixels than bytes.
    """
    if encoded[1:2] in b"fF":
        raise ImageError("floating-point pixels have no stated range; convert it to PNG or JPEG")
    header, found = _HEADER.match(encoded, 0, MAX_HEADER), claim(encoded)
    if header is None or found is None:
        raise ImageError("corrupt or truncated: a Netpbm picture without its header")
    kind, numbers, end = header[1], [header[2], header[3]], header.end()
    if kind not in _BITS:
        highest = _HIGHEST.match(encoded, end, MAX_HEADER)
        if highest is None:
            raise ImageError("corrupt or truncated: a Netpbm picture without its highest value")
        numbers, end = [*numbers, highest[1]], highest.end()
    deep = len(numbers) == 3 and int(numbers[2]) > 255
    needed = _least_bytes(kind, found.width, found.height, 2 if deep else 1)
    if needed > len(encoded) - end:
        raise ImageError(
            f"corrupt or truncated: {found.width} × {found.height} pixels need {needed:,} bytes, "
            f"and there are {len(encoded) - end:,}"
        )
    return Essence(b"\n".join([kind, *numbers]) + encoded[end:], found)


def _least_bytes(kind: bytes, width: int, height: int, deep: int) -> int:
    """Return the least number of bytes that the pixels take.

    In text, each number takes a digit and a space, but a bit only a digit.
    """
    if kind == b"P4":
        return (width + 7) // 8 * height
    samples = width * height * (3 if kind in (b"P3", b"P6") else 1)
    return samples * {b"P1": 1, b"P2": 2, b"P3": 2}.get(kind, deep)
