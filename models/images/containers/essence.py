"""The results of the modules of all formats, and the orientation that EXIF or XMP states."""

import re
import struct
from typing import NamedTuple

MAX_EXIF = 2**17  # bytes that are looked at; the first directory stands near the beginning
MAX_ENTRIES = 1000  # of EXIF's first directory; cameras write some dozens
_ORIENTATION = 0x0112
_SHORT, _LONG = 3, 4  # types of an entry
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


class Claim(NamedTuple):
    """The size and work that a header states, before anything is decoded.

    `work` is the number of pixels that decoding passes over: more than width times height where a
    file has several passes, or more than eight bits.
    """

    width: int
    height: int
    work: int

    @property
    def pixels(self) -> int:
        return self.width * self.height


class Essence(NamedTuple):
    """An image file reduced to the bytes that decide its pixels.

    `claim` is None where only the decoder finds the size. `orientation` is 1 to 8, as in EXIF.
    """

    encoded: bytes
    claim: Claim | None
    orientation: int = 1


def orientation(exif: bytes, xmp: bytes = b"") -> int:
    """Return the orientation in EXIF, else in XMP, else 1; broken metadata is ignored.

    `exif` begins with a TIFF header, or with `Exif` before it. Nothing else in it is read.
    """
    exif = exif[:MAX_EXIF]
    while exif.startswith(b"Exif\0\0"):
        exif = exif[6:]
    found = _in_directory(exif)
    if found is None:
        named = _XMP_ORIENTATION.search(xmp[:MAX_EXIF])
        found = int(named[1]) if named else 1
    return found if 1 <= found <= 8 else 1


def _in_directory(tiff: bytes) -> int | None:
    """Return the orientation in the first directory of EXIF; of several entries, the last. None if
    there is none."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return None
    start = struct.unpack_from(order + "I", tiff, 4)[0]
    if start + 2 > len(tiff):
        return None
    count = min(struct.unpack_from(order + "H", tiff, start)[0], MAX_ENTRIES)
    entry = struct.Struct(order + "HHI4s")
    whole = tiff[start + 2 : start + 2 + count * entry.size]
    whole = whole[: len(whole) // entry.size * entry.size]
    found = None
    for tag, kind, values, value in entry.iter_unpack(whole):
        if tag == _ORIENTATION and values == 1 and kind in (_SHORT, _LONG):
            found = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), value)[0]
    return found
