"""Encoded images → pixels of a network's input, without torch.

    read(bytes, frame) → uint8 array (C, H, W): `scaled` of
      decode(bytes)      → a PIL image, upright, `L` or `RGB`, eight bits a channel: Pillow's, of
        format.essence     → the file without its metadata (`models.images.containers`)

Training and service call the same functions (through `models.preprocessing`). The service calls
them in processes that need neither torch nor pydantic, and start in a fraction of the time.
"""

import warnings
from collections.abc import Callable
from functools import partial
from io import BytesIO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from models.errors import ImageError, TooManyPixelsError
from models.images import framing, png, webp
from models.images.containers import jpeg
from models.images.containers import png as png_container
from models.images.containers.essence import Claim, Essence, orientation
from models.images.formats import FORMATS as KNOWN
from models.images.formats import JPEG, PNG, WEBP, ImageFormat, sniff
from models.images.framing import Rule
from models.images.scaling import Framing, Pixels, framed_already, is_as_it_is, scaled

# Pillow's names; it knows more, some of which start other programs
FORMATS = tuple(each.pillow for each in KNOWN)
MAX_PIXELS = 2 * 89_478_485  # where no limit is given: Pillow's own
LONGEST_SIDE = 65_535  # pixels; that of JPEG and GIF
_REDUCING_GAP = 2  # times the input's size that a JPEG's decoder leaves for the filter to scale
_TURNS = {  # EXIF orientation → what undoes it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_HEAD = 2**17  # bytes; EXIF in a JPEG has half of that at most
_UNKNOWN = "not a picture of a known format, or its header is broken; convert it to PNG or JPEG"
BAND = 2**20  # pixels that are converted at once: what lies between needs more memory than either


def read(
    encoded: bytes,
    to: Framing,
    *,
    formats: tuple[str, ...] = FORMATS,
    max_pixels: int | None = None,
) -> Pixels:
    """Decode and scale an encoded image to the network's input: uint8 (C, H, W).

    Like `scaled(decode(…))`, but faster: libspng decodes small plain PNGs, and JPEGs far
    larger than the input are decoded at 1/2, 1/4 or 1/8 of their size before the filter scales
    them. Raises the errors of `decode`.
    """
    if "PNG" in formats:
        small = read_small(encoded, to, max_pixels=max_pixels)
        if small is not None:
            return small
    return scaled(decode_for(encoded, to, formats=formats, max_pixels=max_pixels), to)


def decode_for(
    encoded: bytes,
    to: Framing,
    *,
    formats: tuple[str, ...] = FORMATS,
    max_pixels: int | None = None,
) -> Image.Image:
    """Decode like `decode`, a large JPEG at a reduced size that is enough for `scaled`."""
    side = _REDUCING_GAP * (to.resize_size or max(to.height, to.width))  # turned or not
    if to.rule is not None:
        side = max(side, framing.LEAST_SIDE)
    return decode(encoded, formats=formats, max_pixels=max_pixels, at_least=side, rule=to.rule)


def read_small(encoded: bytes, to: Framing, *, max_pixels: int | None = None) -> Pixels | None:
    """Read a small plain PNG like `read`, in some microseconds; return None for other images.

    With a framing rule, return None also for pictures that the rule would change.
    """
    array = png.pixels(encoded, max_pixels)
    if array is None:
        return None
    if to.rule is not None:
        grey = array if array.ndim == 2 else np.asarray(Image.fromarray(array).convert("L"))
        return framed_already(grey, to)
    if is_as_it_is((array.shape[1], array.shape[0]), to):
        if array.ndim == 2 and to.channels == 1:
            return array[None]
        if array.ndim == to.channels == 3:
            return array.transpose(2, 0, 1)
    return scaled(Image.fromarray(array), to)


def size(encoded: bytes, formats: tuple[str, ...] = FORMATS) -> tuple[int, int] | None:
    """Read width and height from the header, before any rotation; None if not stated."""
    format = sniff(encoded, formats)
    if format is None:
        return None
    try:
        claim = format.claim(encoded)
        if claim is not None:
            return claim.width, claim.height
        with Image.open(BytesIO(encoded), formats=(format.pillow,)) as image:
            return image.size
    except Exception:  # Pillow's plugins raise a dozen types for broken files
        return None


def upright_size(encoded: bytes, formats: tuple[str, ...] = FORMATS) -> tuple[int, int] | None:
    """Read width and height of the image once it is upright; None if the header doesn't tell.

    The orientation (EXIF) is only looked for in the first `_HEAD` bytes, where cameras write it. A
    search of a whole file, made of a million small parts, would take seconds. An image with its
    orientation further behind is taken to be upright.
    """
    format = sniff(encoded, formats)
    found = size(encoded, formats)
    if format is None or found is None:
        return None
    try:
        if format.pillow in ("AVIF", "HEIF"):
            with Image.open(BytesIO(encoded), formats=(format.pillow,)) as image:
                found, turned = image.size, _turned_by_container(image)
        else:
            turned = format.essence(encoded[:_HEAD]).orientation
    except Exception:  # a part of a file may be broken in a dozen ways
        return found
    return found if turned < 5 else (found[1], found[0])


def decode(
    encoded: bytes,
    *,
    formats: tuple[str, ...] = FORMATS,
    max_pixels: int | None = None,
    at_least: int | None = None,
    rule: Rule | None = None,
) -> Image.Image:
    """Decode the first frame of an encoded image, upright, in mode `L` or `RGB`.

    Transparent images are composited on white, or with a framing rule on a shade from which the
    subject stands out (`framing.backdrop`). 16-bit values are divided, not clipped. Palette, 1-bit
    and CMYK images become grey or RGB. Metadata is not decoded, except for the orientation.

    `formats` are Pillow's names of the formats to try. `max_pixels` limits width times height,
    which is read from the header before decoding. With `at_least`, a JPEG may be decoded at a half,
    a quarter or an eighth of its size, as long as both sides keep that many pixels. Of a baseline
    JPEG, `max_pixels` then limits the decoded size; of other JPEGs the full size, since libjpeg
    keeps all of it in memory. Raises `TooManyPixelsError`, or `ImageError` for what is not a whole
    picture, costs far more than its size, or needs a package that is missing.
    """
    if not encoded:
        raise ImageError("empty: the file has no bytes")
    try:
        format = sniff(encoded, formats)
        if format is None:
            raise ImageError(_UNKNOWN)
        format.prepare()
        claim, most = format.claim(encoded), max_pixels
        if at_least is not None and _is_decoded_smaller(encoded, format, claim, most):
            most = None  # `_open` looks at what comes out
        _check_size(claim, most)
        essence = format.essence(encoded)
        _check_size(essence.claim, most)
        image, turned = _open(essence, format, max_pixels, at_least)
        turn = _TURNS.get(turned)
        if turn is not None:
            image = image.transpose(turn)
        return _eight_bits(image, rule)
    except (ImageError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        allowed = f"; the limit is {max_pixels:,} in all" if max_pixels is not None else ""
        raise TooManyPixelsError(f"far too many pixels{allowed}") from error
    except UnidentifiedImageError as error:
        raise ImageError(_UNKNOWN) from error
    except Exception as error:  # Pillow's plugins raise a dozen types for broken files
        raise ImageError("corrupt or truncated") from error


def _is_decoded_smaller(
    encoded: bytes, format: ImageFormat, claim: Claim | None, max_pixels: int | None
) -> bool:
    """Return True for a JPEG over the limit whose decoder needs memory only for the reduced size.

    Raises `TooManyPixelsError` for a JPEG over the limit that is not baseline.
    """
    if format is not JPEG or claim is None or max_pixels is None or claim.pixels <= max_pixels:
        return False
    if jpeg.only_frame(encoded) is None and claim.pixels <= MAX_PIXELS:
        raise TooManyPixelsError(
            f"{claim.width} × {claim.height} pixels in a JPEG that is not baseline; the limit of "
            f"these is {max_pixels:,} in all: save it as a baseline JPEG, which may have more"
        )
    return True


def _open(
    essence: Essence, format: ImageFormat, max_pixels: int | None, at_least: int | None
) -> tuple[Image.Image, int]:
    """Decode the first frame as it is stored; return it with its orientation."""
    encoded, claim, turned = essence
    if format is WEBP and claim is not None:
        picture = webp.picture(encoded, (claim.width, claim.height))
        if picture is not None:
            return picture, turned
    image = _opened(encoded, format, claim)
    if format is JPEG:
        image.decodermaxblock = len(encoded)  # all is decoded in one call, without copies
        if at_least is not None:
            image.draft(None, (at_least, at_least))
    if format.pillow == "AVIF":
        turned = _turned_by_container(image)
    _check_size(Claim(*image.size, 0), max_pixels)
    image.load()
    if format is PNG and _may_lack_rows(image):
        png_container.check_rows(encoded)
    return image, turned


def _may_lack_rows(image: ImageFile.ImageFile) -> bool:
    """Return whether the last row of a decoded PNG may be missing: Pillow leaves it at 0."""
    last = image.crop((0, image.height - 1, image.width, image.height))
    return bool(image.info.get("interlace")) or not np.asarray(last).any()


def _turned_by_container(image: ImageFile.ImageFile) -> int:
    """Return the orientation of an opened AVIF or HEIC, 1 to 8.

    Pillow's plugin for AVIF reports the container's rotation as EXIF. The plugin for HEIC rotates
    the image itself, and reports 1.
    """
    return orientation(image.info.get("exif", b""))


def _opened(encoded: bytes, format: ImageFormat, claim: Claim | None) -> ImageFile.ImageFile:
    """Open an image without Pillow's warning about its size, which `_check_size` has allowed."""
    if claim is None or claim.pixels <= MAX_PIXELS // 2:
        return Image.open(BytesIO(encoded), formats=(format.pillow,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(BytesIO(encoded), formats=(format.pillow,))


def _check_size(claim: Claim | None, max_pixels: int | None) -> None:
    if claim is None:
        return
    width, height, _ = claim
    most = MAX_PIXELS if max_pixels is None else max_pixels
    if width * height > max(most, MAX_PIXELS):
        raise TooManyPixelsError(f"far too many pixels; the limit is {most:,} in all")
    if width * height > most:
        raise TooManyPixelsError(f"{width} × {height} pixels; the limit is {most:,} in all")
    if max(width, height) > LONGEST_SIDE:
        raise ImageError(
            f"{width} × {height} pixels; a side may have {LONGEST_SIDE:,}: make it smaller"
        )


def _eight_bits(image: Image.Image, rule: Rule | None = None) -> Image.Image:
    """Convert an image of any of Pillow's modes to `L` or `RGB`; F and LAB raise `ImageError`."""
    if image.mode == "F":
        raise ImageError("floating-point pixels have no stated range; convert it to PNG or JPEG")
    if image.mode == "LAB":
        raise ImageError("colours of the kind CIELAB; convert it to PNG or JPEG in RGB")
    if image.mode.startswith("I"):
        return _in_bands(image, "L", _divided)
    if image.has_transparency_data:
        shade = 255 if rule is None else framing.backdrop(image, rule)
        return _in_bands(image, "RGB", partial(_composited, shade))
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _divided(image: Image.Image) -> Image.Image:
    """Divide 16 bits per channel to 8, where convert() would clip to white."""
    levels = np.asarray(image).astype(np.int32)
    np.clip(levels, 0, 65535, out=levels)
    levels += 128
    levels //= 257
    return Image.fromarray(levels.astype(np.uint8))


def _composited(shade: int, image: Image.Image) -> Image.Image:
    ground = Image.new("RGB", image.size, (shade,) * 3)
    layer = image if image.mode == "RGBA" else image.convert("RGBA")
    ground.paste(layer, mask=layer.getchannel("A"))
    return ground


def _in_bands(
    image: Image.Image, mode: str, convert: Callable[[Image.Image], Image.Image]
) -> Image.Image:
    """Convert a picture some lines at a time, without a second whole one in between."""
    width, height = image.size
    lines = max(1, BAND // width)
    if lines >= height:
        return convert(image)
    done = Image.new(mode, image.size)
    for top in range(0, height, lines):
        bottom = min(height, top + lines)
        done.paste(convert(image.crop((0, top, width, bottom))), (0, top))
    return done
