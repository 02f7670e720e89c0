"""The image formats that are taken: a media type, what Pillow calls it, how its files begin."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    pillow: str
    beginning: re.Pattern[bytes]


FORMATS = {
    "image/png": Format("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")),
    "image/jpeg": Format("JPEG", re.compile(rb"\xff\xd8\xff")),
    "image/webp": Format("WEBP", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    "image/bmp": Format("BMP", re.compile(rb"BM")),
    "image/gif": Format("GIF", re.compile(rb"GIF8[79]a")),
}
TAKEN = ", ".join(FORMATS)
_ALIASES = {"image/jpg": "image/jpeg", "image/x-ms-bmp": "image/bmp"}


def media_type(header: str) -> str:
    """The media type in a Content-Type header: in lower case, without parameters or aliases."""
    if header in FORMATS:  # as most clients write it
        return header
    name = header.partition(";")[0].strip().lower()
    return _ALIASES.get(name, name)


def sniff(encoded: bytes) -> str | None:
    """The media type that the bytes begin like, if it is one that is taken."""
    return next((name for name, each in FORMATS.items() if each.beginning.match(encoded)), None)
