"""The image formats that are read: one entry a format → what training reads and the service takes.

Both take the same. Pillow opens all of them. The bytes decide the format, not a file's name and not
the media type that a client declares.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from models.errors import ImageError
from models.images import heif as plugins
from models.images.containers import bmp, gif, heif, jpeg, png, ppm, tiff, webp
from models.images.containers.essence import Claim, Essence
from models.registry import Parameters, Registry


def _no_claim(_encoded: bytes) -> Claim | None:
    return None


def _as_it_is(encoded: bytes) -> Essence:
    return Essence(encoded, None)


def _nothing() -> None:
    """Do nothing: Pillow reads the format without help."""


@dataclass(frozen=True)
class ImageFormat:
    """One format of image files.

    `pillow` is Pillow's name of the format, which opens it. `beginning` matches the first bytes of
    every file. The first of `media_types` is the registered one, the others are names in use.
    `claim` reads size and work from the header, or returns None. `essence` returns the file reduced
    to the bytes that decide its pixels, and raises `ImageError` for one that is damaged or would
    cost far more than its size; `limits` are its limits in words. `prepare` makes Pillow read the
    format, and raises `ImageError` where a package is missing; `needs` names that package in words.
    `memory` is what decoding may take, in bytes per pixel: two copies of a picture are 8. `time` is
    the decoding time relative to other formats.
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
    prepare: Callable[[], None] = _nothing
    needs: str | None = None
    memory: int = 9
    time: int = 1
    parameters: Parameters = field(default_factory=dict)

    @property
    def media_type(self) -> str:
        return self.media_types[0]

    @property
    def is_available(self) -> bool:
        try:
            self.prepare()
        except ImageError:
            return False
        return True


FORMATS = Registry[ImageFormat]("image format")
_REGISTERED: dict[str, str] = {}  # media type in use → the registered one


def register(format: ImageFormat) -> ImageFormat:
    """Add a format; raises `ValueError` if its name is taken."""
    FORMATS.register(format, stacklevel=2)
    _REGISTERED.update(dict.fromkeys(format.media_types, format.media_type))
    return format


def by_media_type() -> Mapping[str, ImageFormat]:
    """Map the registered media types to the formats, for those that can be read here."""
    return {each.media_type: each for each in FORMATS if each.is_available}


def taken() -> str:
    """List the media types of the formats that can be read here, for messages."""
    return ", ".join(sorted(by_media_type()))


def readable() -> str:
    """List all formats with their file extensions, for help texts."""
    return ", ".join(f"{each.name} ({' '.join(each.extensions)})" for each in FORMATS)


def media_type(header: str) -> str:
    """Return the registered media type in a Content-Type header, without its parameters."""
    known = _REGISTERED.get(header)  # as most clients write it
    if known is not None:
        return known
    name = header.partition(";")[0].strip().lower()
    return _REGISTERED.get(name, name)


def is_image_type(name: str) -> bool:
    """True if a `media_type` is that of one of the formats."""
    return name in _REGISTERED


def sniff(encoded: bytes, pillow: Collection[str] | None = None) -> ImageFormat | None:
    """Return the format whose beginning matches, among those with these names of Pillow."""
    known = (each for each in FORMATS if pillow is None or each.pillow in pillow)
    return next((each for each in known if each.beginning.match(encoded)), None)


def table() -> str:
    """The formats as a Markdown table."""
    return FORMATS.table(
        {
            "format": lambda each: f"`{each.name}`",
            "what it is": lambda each: each.description,
            "media type": lambda each: f"`{each.media_type}`",
            "files": lambda each: " ".join(f"`{ending}`" for ending in each.extensions),
            "limits": lambda each: "; ".join(each.limits) or "none",
            "needs": lambda each: each.needs or "",
        }
    )


def _brands(own: bytes) -> re.Pattern[bytes]:
    """Return a pattern for the first box of a file of this brand.

    The brand is the major one, or among the compatible ones if the major brand is a general one.
    """
    general = b"(?:mif1|mif2|miaf|msf1)"
    return re.compile(
        b".{4}ftyp(?:" + own + b"|" + general + b".{4}(?:.{4}){0,15}?" + own + b")", re.DOTALL
    )


PNG = register(
    ImageFormat(
        name="png",
        description="Portable Network Graphics: grey, colours, palettes, transparency.",
        pillow="PNG",
        beginning=re.compile(rb"\x89PNG\r\n\x1a\n"),
        extensions=(".png", ".apng"),
        media_types=("image/png", "image/x-png", "image/apng", "image/vnd.mozilla.apng"),
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
        media_types=("image/jpeg", "image/jpg", "image/pjpeg", "image/x-jpeg", "image/jfif"),
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
        media_types=("image/webp", "image/x-webp"),
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
        media_types=("image/bmp", "image/x-ms-bmp", "image/x-bmp", "image/x-windows-bmp"),
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
        media_types=("image/tiff", "image/tif", "image/x-tiff"),
        limits=(
            f"{tiff.MAX_ENTRIES:,} tags",
            f"{tiff.MAX_VALUES:,} values in a tag",
            f"{tiff.MAX_RATIO:,} pixels a byte",
        ),
        claim=tiff.claim,
        essence=tiff.essence,
        memory=16,
    )
)
register(
    ImageFormat(
        name="ppm",
        description="Netpbm: portable bitmaps, grey maps and pixel maps.",
        pillow="PPM",
        beginning=re.compile(rb"P[1-6fF]\s"),
        extensions=(".pbm", ".pgm", ".ppm", ".pnm", ".pfm"),
        media_types=(
            "image/x-portable-anymap",
            "image/x-portable-bitmap",
            "image/x-portable-graymap",
            "image/x-portable-pixmap",
        ),
        limits=(f"{ppm.MAX_HEADER:,} bytes of header", "no floating-point pixels"),
        claim=ppm.claim,
        essence=ppm.essence,
    )
)
register(
    ImageFormat(
        name="avif",
        description="AV1 Image File Format; the first frame of a film.",
        pillow="AVIF",
        beginning=_brands(b"avi[fs]"),
        extensions=(".avif", ".avifs"),
        media_types=("image/avif", "image/avif-sequence"),
        limits=(f"{heif.MAX_BOXES:,} boxes in a box", f"{heif.MAX_RATIO:,} pixels a byte"),
        claim=heif.avif_claim,
        essence=heif.avif_essence,
        prepare=plugins.register_avif,
        needs="a Pillow with libavif, as its wheels have",
        memory=18,
    )
)
register(
    ImageFormat(
        name="heic",
        description="High Efficiency Image File, as telephones write it; the main picture.",
        pillow="HEIF",
        beginning=_brands(b"he(?:i[cmsx]|v[cmsx])"),
        extensions=(".heic", ".heics", ".heif", ".heifs", ".hif"),
        media_types=("image/heif", "image/heic", "image/heic-sequence", "image/heif-sequence"),
        limits=(f"{heif.MAX_BOXES:,} boxes in a box", f"{heif.MAX_RATIO:,} pixels a byte"),
        claim=heif.heic_claim,
        essence=heif.heic_essence,
        prepare=plugins.register_heic,
        needs=f"`{plugins.INSTALL}`",
        memory=18,
        time=4,  # a telephone's photograph of 12 megapixels takes 0.4 s
    )
)
