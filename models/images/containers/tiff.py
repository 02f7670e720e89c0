"""TIFF: a directory of tags that says where pixels lie (Adobe, TIFF 6.0; libtiff, BigTIFF)."""

import struct
from typing import NamedTuple

from models.errors import ImageError
from models.images.containers.essence import Claim, Essence

MAX_ENTRIES = 1000  # of the first directory; scanners write some dozens
MAX_VALUES = 200_000  # of a tag: the places of strips or tiles, a palette
MAX_RATIO = 10_000  # pixels a byte of a compressed one
_SIZES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)  # bytes of a value, by its type
_NUMBERS = {1: "B", 3: "H", 4: "I", 16: "Q"}  # types of whole numbers
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES = 256, 257, 258, 259, 277
_ORIENTATION = 274
_PARTS = ((273, 279), (324, 325))  # places and sizes of the strips, or of the tiles
_PLAIN, _OLD_JPEG = 1, 6  # kinds of compression
_KEPT = {  # tags that decide pixels; not among them: EXIF, profiles, texts, smaller pictures
    *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES, 262, 266, 273, 278, 279, 284, 292, 293),
    *(317, 320, 322, 323, 324, 325, 338, 339, 347, 529, 530, 532),
}


class _Form(NamedTuple):
    """The number formats of a file: byte order, and offsets of 4 bytes (TIFF) or 8 (BigTIFF)."""

    order: str
    place: str
    entries: str  # their number
    head: int  # bytes before the place of the first directory

    @property
    def entry(self) -> struct.Struct:
        """The struct of an entry: tag, type, number of values, and the value or its offset."""
        size = struct.calcsize(self.place)
        return struct.Struct(f"{self.order}HH{self.place}{size}s")


class _Tag(NamedTuple):
    kind: int
    length: int  # values
    values: memoryview
    entry: bytes  # as it stands in the directory


def claim(encoded: bytes) -> Claim | None:
    """Read size and work from the first directory; return None if it is broken."""
    try:
        return _claim(*_directory(encoded))
    except ImageError:
        return None


def essence(encoded: bytes) -> Essence:
    """Return the first page, with a new directory of only the tags that decide its pixels.

    The new directory stands at the end and points to no other; all other offsets stay as they are.
    Raises `ImageError` for too many tags or values, for values or pixels behind the end of the
    file, and for more pixels than the bytes can hold.
    """
    form, tags = _directory(encoded)
    found = _claim(form, tags)
    _check(form, tags, found, len(encoded))
    kept = [tags[number].entry for number in sorted(tags.keys() & _KEPT)]
    start = len(encoded) + len(encoded) % 2
    place = struct.Struct(form.order + form.place)
    parts: tuple[bytes | memoryview, ...] = (
        encoded[: form.head],
        place.pack(start),
        memoryview(encoded)[form.head + place.size :],
        bytes(len(encoded) % 2),
        struct.pack(form.order + form.entries, len(kept)),
        *kept,
        place.pack(0),  # no further page
    )
    turned = _number(form, tags, _ORIENTATION, 1)
    return Essence(b"".join(parts), found, turned if 1 <= turned <= 8 else 1)


def _check(form: _Form, tags: dict[int, _Tag], found: Claim, size: int) -> None:
    """Raise `ImageError` for a picture that can't be in so many bytes."""
    compression = _number(form, tags, _COMPRESSION, _PLAIN)
    if compression == _OLD_JPEG:
        raise ImageError("a TIFF with a JPEG of the old kind in it; save it anew")
    bits = _number(form, tags, _BITS, 1) * _number(form, tags, _SAMPLES, 1)
    needed = found.pixels * bits // 8 if compression == _PLAIN else found.pixels // MAX_RATIO
    if needed > size:
        raise ImageError(
            f"corrupt or truncated: {found.width} × {found.height} pixels can't be in "
            f"{size:,} bytes"
        )
    for places, sizes in _PARTS:
        starts, lengths = _numbers(form, tags, places), _numbers(form, tags, sizes)
        if starts and not lengths and compression == _PLAIN:  # which may be left out
            lengths = (needed // len(starts),) * len(starts)
        if len(starts) != len(lengths):
            raise ImageError("corrupt or truncated: a TIFF whose parts have no sizes")
        if any(start + length > size for start, length in zip(starts, lengths, strict=True)):
            raise ImageError("corrupt or truncated: pixels of a TIFF are behind its end")


def _claim(form: _Form, tags: dict[int, _Tag]) -> Claim:
    width, height = (_number(form, tags, tag, 0) for tag in (_WIDTH, _HEIGHT))
    if not width or not height:
        raise ImageError("corrupt or truncated: a TIFF without its size")
    deep = 2 if _number(form, tags, _BITS, 1) > 8 else 1
    return Claim(width, height, width * height * 2 * deep)


def _number(form: _Form, tags: dict[int, _Tag], tag: int, otherwise: int) -> int:
    """Return the first value of a tag, or `otherwise` if it has no whole numbers."""
    found = _numbers(form, tags, tag, 1)
    return found[0] if found else otherwise


def _numbers(
    form: _Form, tags: dict[int, _Tag], tag: int, most: int = MAX_VALUES
) -> tuple[int, ...]:
    """Return the values of a tag, at most `most`; an empty tuple unless they are whole numbers."""
    found = tags.get(tag)
    if found is None or found.kind not in _NUMBERS:
        return ()
    count = min(found.length, most)
    return struct.unpack_from(f"{form.order}{count}{_NUMBERS[found.kind]}", found.values)


def _directory(encoded: bytes) -> tuple[_Form, dict[int, _Tag]]:
    """Read the tags of the first page, without copying their values: a file may point to many.

    Raises `ImageError` for a broken directory, for too many tags, and for a tag that is there
    twice, since decoders differ in which one they take.
    """
    order = "<" if encoded[:2] == b"II" else ">"
    is_big = encoded[2:4] in (b"+\0", b"\0+")
    form = _Form(order, "Q", "Q", 8) if is_big else _Form(order, "I", "H", 4)
    try:
        start = struct.unpack_from(order + form.place, encoded, form.head)[0]
        count = struct.unpack_from(order + form.entries, encoded, start)[0]
    except (struct.error, OverflowError) as error:
        raise ImageError("corrupt or truncated: a TIFF without its directory") from error
    if count > MAX_ENTRIES:
        raise ImageError(f"a TIFF of more than {MAX_ENTRIES:,} tags; save it anew")
    start += struct.calcsize(order + form.entries)
    entry = form.entry
    whole = encoded[start : start + count * entry.size]
    if len(whole) < count * entry.size:
        raise ImageError("corrupt or truncated: cut off in the directory of a TIFF")
    tags: dict[int, _Tag] = {}
    for place in range(0, len(whole), entry.size):
        own = whole[place : place + entry.size]
        number, kind, values, value = entry.unpack(own)
        if number in tags:
            raise ImageError(f"corrupt or truncated: a TIFF that has its tag {number} twice")
        if number in _KEPT or number == _ORIENTATION:
            content = _content(encoded, form, number, kind, values, value)
            tags[number] = _Tag(kind, values, content, own)
    return form, tags


def _content(
    encoded: bytes, form: _Form, number: int, kind: int, count: int, value: bytes
) -> memoryview:
    """Return the values of a tag, which stand in its entry or at the offset in it."""
    size = count * (_SIZES[kind] if kind < len(_SIZES) else 0)
    if not size:
        raise ImageError(f"corrupt or truncated: tag {number} of a TIFF has no value")
    if count > MAX_VALUES and _SIZES[kind] > 1:
        raise ImageError(
            f"a TIFF with {count:,} values in tag {number}; a tag may have {MAX_VALUES:,}"
        )
    if size <= len(value):
        return memoryview(value)
    start = struct.unpack(form.order + form.place, value)[0]
    if start + size > len(encoded):
        raise ImageError(f"corrupt or truncated: tag {number} of a TIFF is behind its end")
    return memoryview(encoded)[start : start + size]
