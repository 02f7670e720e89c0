"""What several formats of costly files share, and the table of all of them."""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

from PIL import Image

SIDE = 5000  # the largest square that the settings allow
MEBIBYTE = 2**20
CASES: dict[str, Callable[[], bytes]] = {}


def case(make: Callable[[], bytes]) -> Callable[[], bytes]:
    CASES[make.__name__] = make
    return make


def profile(size: int) -> bytes:
    """An ICC profile that is long when decompressed."""
    return b"p\0\0" + zlib.compress(bytes(size), 1)


def exif_of(entries: int, order: str = "<") -> bytes:
    """EXIF with so many entries, each of which points at a long value."""
    start = 8 + 2 + 12 * entries + 4
    directory = struct.pack(order + "H", entries) + b"".join(
        struct.pack(order + "2H2I", 0x9000 + index % 4096, 7, 8, start) for index in range(entries)
    )
    return b"II*\0\x08\0\0\0" + directory + bytes(4 + 8)


def exif_of_text(size: int) -> bytes:
    """EXIF of one entry, a long list of fractions."""
    count = size // 8
    entry = struct.pack("<2H2I", 0x9000, 5, count, 26)
    return b"II*\0\x08\0\0\0\1\0" + entry + bytes(4) + b"\1\0\0\0\1\0\0\0" * count


def written(format: str, image: Image.Image, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()
