"""AVIF and HEIC: boxes in boxes (ISO/IEC 14496-12 and 23008-12).

What is in the boxes is left to the decoders: libavif for AVIF, libheif for HEIC.
"""

import struct
from collections.abc import Iterator

from models.errors import ImageError
from models.images.containers.essence import Claim, Essence

MAX_BOXES = 1000  # in one box; a telephone's picture has some hundreds, of its tiles
MAX_RATIO = 50_000  # pixels a byte; a picture of one colour may have more, and says nothing
AVIF_WORK, HEIC_WORK = 3, 5  # times that of a pixel of a JPEG
_HEAD, _LONG_SIZE = struct.Struct(">I4s"), struct.Struct(">Q")
_SIZE = struct.Struct(">2I")
_VERSION = 4  # bytes of version and flags, which some boxes begin with
_Box = tuple[bytes, int, int]  # kind, begin and end of the content


def avif_claim(encoded: bytes) -> Claim | None:
    """Read the largest size that an item of the file states; None if it can't be told."""
    return _claim(encoded, AVIF_WORK)


def heic_claim(encoded: bytes) -> Claim | None:
    """Read the size like `avif_claim`; the work of a HEIC is greater."""
    return _claim(encoded, HEIC_WORK)


def avif_essence(encoded: bytes) -> Essence:
    """Return the file as it is: metadata are items like the picture, and stay unread.

    Raises `ImageError` for a file that is cut off or has no picture, for too many boxes, and for
    far more pixels than bytes.
    """
    return Essence(encoded, _checked(encoded, AVIF_WORK))


def heic_essence(encoded: bytes) -> Essence:
    """Return a checked file as it is, like `avif_essence`."""
    return Essence(encoded, _checked(encoded, HEIC_WORK))


def _claim(encoded: bytes, work: int) -> Claim | None:
    try:
        return _checked(encoded, work)
    except ImageError:
        return None


def _checked(encoded: bytes, work: int) -> Claim | None:
    """Return the size that the boxes claim; None for a film, whose tracks alone state its size.

    Raises `ImageError` for a broken file, and for far more pixels than bytes.
    """
    top = list(_boxes(encoded, 0, len(encoded)))
    sizes = []
    for kind, start, end in _inside(encoded, top, b"meta", _VERSION):
        properties = _inside(encoded, [(kind, start, end)], b"iprp")
        for name, begin, stop in _inside(encoded, list(properties), b"ipco"):
            if name == b"ispe" and stop - begin >= _VERSION + _SIZE.size:
                sizes.append(_SIZE.unpack_from(encoded, begin + _VERSION))
    if not sizes:
        if any(kind == b"moov" for kind, _, _ in top):
            return None
        raise ImageError("corrupt or truncated: no picture in the boxes of an AVIF or HEIC")
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    if width * height > len(encoded) * MAX_RATIO:
        raise ImageError(
            f"{width} × {height} pixels in {len(encoded):,} bytes; an AVIF or HEIC may have "
            f"{MAX_RATIO:,} pixels a byte: make it smaller"
        )
    return Claim(width, height, width * height * work)


def _inside(encoded: bytes, boxes: list[_Box], kind: bytes, version: int = 0) -> Iterator[_Box]:
    """Yield the boxes inside each of `boxes` that is of this kind.

    `version` is the number of bytes for version and flags before them.
    """
    for name, start, end in boxes:
        if name == kind:
            yield from _boxes(encoded, start + version, end)


def _boxes(encoded: bytes, start: int, end: int) -> Iterator[_Box]:
    """Yield the boxes between two positions; raise `ImageError` for a box that is cut off."""
    for _ in range(MAX_BOXES):
        if start + _HEAD.size > end:
            return
        size, kind = _HEAD.unpack_from(encoded, start)
        content = start + _HEAD.size
        if size == 1 and content + _LONG_SIZE.size <= end:
            size, content = _LONG_SIZE.unpack_from(encoded, content)[0], content + _LONG_SIZE.size
        stop = start + size if size else end  # without a size it goes to the end
        if stop > end or stop < content:
            raise ImageError("corrupt or truncated: cut off in a box of an AVIF or HEIC")
        yield kind, content, stop
        start = stop
    raise ImageError(f"an AVIF or HEIC of more than {MAX_BOXES:,} boxes in one; save it anew")
