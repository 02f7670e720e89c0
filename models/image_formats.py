"""The image formats that are read: one entry a format → what the service and training take.

The service takes the formats that are `served`, by their media types; training reads the files with
one of the `extensions`. Pillow opens all of them. The bytes decide the format, not the name.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from models.containers import bmp, gif, jpeg, png, webp
from models.containers.essence import Claim, Essence
from models.registry import Parameters, Registry


def _no_claim(_encoded: bytes) -> Claim | None:
    return None


def _as_it_is(encoded: bytes) -> Essence:
    return Essence(encoded, None)


@dataclass(frozen=True)
class ImageFormat:
    """One format of image files.

    `pillow` is Pillow's name of the format, which opens it. `beginning` matches the first bytes of
    every file. The first of `media_types` is the registered one, the others are names in use.
    `claim` reads size and work from the header, or gives None. `essence` gives the file without
    what no pixel depends on, and raises `ImageError` for one that is damaged or would cost far more
    than its size; `limits` are its limits in words.
    """

    name: str
    description: str
    pillow: str
    beginning: re.Pattern[bytes]
    extensions: tuple[str, ...]
    media_types: tuple[str, ...]
    limits: tuple[str, ...] = ()
    claim: Callable[[bytes], Claim | None] = _no_claim
    essence: Callable[[bytes], Essence] = _as_it_is
    served: bool = True
    parameters: Parameters = field(default_factory=dict)

    @property
    def media_type(self) -> str:
        return self.media_types[0]


FORMATS = Registry[ImageFormat]("image format")
_SERVED: dict[str, ImageFormat] = {}  # registered media type → format
_REGISTERED: dict[str, str] = {}  # media type in use → the registered one


def register(format: ImageFormat) -> ImageFormat:
    """Add a format; raises `ValueError` if its name is taken."""
    FORMATS.register(format, stacklevel=2)
    _REGISTERED.update(dict.fromkeys(format.media_types, format.media_type))
    if format.served:
        _SERVED[format.media_type] = format
    return format


def served() -> Mapping[str, ImageFormat]:
    """The formats that the service takes, by their registered media types."""
    return _SERVED


def taken() -> str:
    """The media types that the service takes, for messages."""
    return ", ".join(sorted(_SERVED))


def readable() -> str:
    """The formats that training reads, for help."""
    return ", ".join(f"{each.name} ({' '.join(each.extensions)})" for each in FORMATS)


def media_type(header: str) -> str:
    """The media type in a Content-Type header: in lower case, without parameters or aliases."""
    if header in _SERVED:  # as most clients write it
        return header
    name = header.partition(";")[0].strip().lower()
    return _REGISTERED.get(name, name)


def sniff(encoded: bytes) -> ImageFormat | None:
    """The format that the bytes begin like, if the service takes it."""
    return next((each for each in _SERVED.values() if each.beginning.match(encoded)), None)


def sniff_any(encoded: bytes, pillow: Collection[str]) -> ImageFormat | None:
    """The format that the bytes begin like, among those with these names of Pillow."""
    named = (each for each in FORMATS if each.pillow in pillow)
    return next((each for each in named if each.beginning.match(encoded)), None)


def table() -> str:
    """The formats as a Markdown table."""
    return FORMATS.table(
        {
            "format": lambda each: f"`{each.name}`",
            "what it is": lambda each: each.description,
            "media type": lambda each: f"`{each.media_type}`" if each.served else "training only",
            "files": lambda each: " ".join(f"`{ending}`" for ending in each.extensions),
            "limits": lambda each: "; ".join(each.limits) or "none",
        }
    )


PNG = register(
    ImageFormat(
        name="png",
        description="Portable Network Graphics: grey, colours, palettes, transparency.",
        pillow="PNG",
        beginning=re.compile(rb"\x89PNG\r\n\x1a\n"),
        extensions=(".png", ".apng"),
        media_types=("image/png",),
        limits=(f"{png.MAX_CHUNKS:,} chunks", "right checksums"),
        claim=png.claim,
        essence=png.essence,
    )
)
JPEG = register(
    ImageFormat(
        name="jpeg",
        description="Photographs; baseline and progressive, grey, colours and CMYK.",
        pillow="JPEG",
        beginning=re.compile(rb"\xff\xd8\xff"),
        extensions=(".jpg", ".jpeg", ".jpe", ".jfif"),
        media_types=("image/jpeg", "image/jpg"),
        limits=(
            f"{jpeg.MAX_SEGMENTS:,} segments before the first scan",
            f"{jpeg.MAX_SCANS} scans",
            f"{jpeg.MAX_SCANNED:,} pixels in all scans together",
        ),
        claim=jpeg.claim,
        essence=jpeg.essence,
    )
)
WEBP = register(
    ImageFormat(
        name="webp",
        description="WebP, lossy and lossless; the first frame of an animation.",
        pillow="WEBP",
        beginning=re.compile(rb"RIFF....WEBP", re.DOTALL),
        extensions=(".webp",),
        media_types=("image/webp",),
        limits=(f"{webp.MAX_CHUNKS:,} chunks", f"{webp.MAX_RATIO:,} pixels a byte"),
        claim=webp.claim,
        essence=webp.essence,
    )
)
register(
    ImageFormat(
        name="bmp",
        description="Windows bitmaps, uncompressed.",
        pillow="BMP",
        beginning=re.compile(rb"BM"),
        extensions=(".bmp",),
        media_types=("image/bmp", "image/x-ms-bmp"),
        limits=("no run-length encoding",),
        claim=bmp.claim,
        essence=bmp.essence,
    )
)
register(
    ImageFormat(
        name="gif",
        description="Graphics Interchange Format; the first frame of an animation.",
        pillow="GIF",
        beginning=re.compile(rb"GIF8[79]a"),
        extensions=(".gif",),
        media_types=("image/gif",),
        limits=(
            f"{gif.MAX_EXTENSIONS:,} blocks and {gif.MAX_EXTENSION_BYTES:,} bytes before the first "
            "frame",
            f"{gif.MAX_SCREEN_RATIO:,} pixels a byte",
        ),
        claim=gif.claim,
        essence=gif.essence,
    )
)
register(
    ImageFormat(
        name="tiff",
        description="Tagged Image File Format; the first page.",
        pillow="TIFF",
        beginning=re.compile(rb"II\*\0|MM\0\*|II\+\0|MM\0\+"),
        extensions=(".tif", ".tiff"),
        media_types=("image/tiff",),
        served=False,
    )
)
register(
    ImageFormat(
        name="ppm",
        description="Netpbm: portable bitmaps, grey maps and pixel maps.",
        pillow="PPM",
        beginning=re.compile(rb"P[1-6fF]"),
        extensions=(".pbm", ".pgm", ".ppm", ".pnm", ".pfm"),
        media_types=("image/x-portable-anymap",),
        served=False,
    )
)
