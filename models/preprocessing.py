"""Preprocessing of images, the same as in training: bytes → pixels → normalised batch.

    read(bytes, spec) → uint8 array (C, H, W), scaled to the network's input; it is
      decode(bytes)     → a PIL image, upright, `L` or `RGB`, eight bits a channel
      spec.pixels       → the same as a tensor
    spec.normalize    → float32 batch (N, C, H, W), computed on the batch's own device

Training and service call the same functions, so an image gives the same values in both.
"""

from contextlib import suppress
from functools import cache
from io import BytesIO
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator
from torch import Tensor

from models import image_formats, png
from models.errors import FanlightError

Pixels = NDArray[np.uint8]
# Pillow's names; it knows more, some of which start other programs
FORMATS = tuple(each.pillow for each in image_formats.FORMATS)
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
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ImageError(FanlightError):
    """The bytes are not a complete image of an allowed format."""


class TooManyPixelsError(ImageError):
    """The image's header declares too many pixels; nothing was decoded."""


class InputSpec(BaseModel):
    """The input of a network, as its checkpoint states it.

    `resize` applies to images of another size. `crop` scales the largest centred crop that has the
    aspect ratio of the input. `stretch` scales the whole image and changes its aspect ratio. Both
    use an antialiased bilinear filter.

    `mean` and `std` are per channel, for pixels in [0, 1]: x = (pixel / 255 - mean) / std.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: Literal[1, 3]
    height: int = Field(ge=1, le=4096)
    width: int = Field(ge=1, le=4096)
    resize: Literal["crop", "stretch"] = "crop"
    mean: tuple[FiniteFloat, ...] = ()
    std: tuple[FiniteFloat, ...] = ()

    @model_validator(mode="after")
    def _per_channel(self) -> Self:
        """Absent statistics mean pixels in [0, 1] as they are."""
        for name, neutral in (("mean", 0.0), ("std", 1.0)):
            values = getattr(self, name) or (neutral,) * self.channels
            object.__setattr__(self, name, values)
            if len(values) != self.channels:
                raise ValueError(f"{name} has {len(values)} values for {self.channels} channels")
        if min(self.std) <= 0:
            raise ValueError("std must be above 0")
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.channels, self.height, self.width

    def pixels(self, image: Image.Image) -> Tensor:
        """The picture as the network sees it, before normalisation: uint8 (C, H, W)."""
        return torch.from_numpy(self.array(image))

    def array(self, image: Image.Image) -> Pixels:
        """The same as an array."""
        mode = "L" if self.channels == 1 else "RGB"
        if image.mode != mode:
            image = image.convert(mode)
        size = (self.width, self.height)
        if image.size != size:
            image = image.resize(size, Image.Resampling.BILINEAR, box=self.box(image.size))
        array = np.array(image, dtype=np.uint8)  # (H, W) or (H, W, C)
        return array.reshape(self.height, self.width, self.channels).transpose(2, 0, 1)

    def box(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """The part of a picture of that width and height that the network gets, in its pixels:
        (left, top, right, bottom)."""
        if self.resize == "stretch":
            return 0, 0, *size
        return _centred(size, (self.width, self.height))

    def normalize(self, batch: Tensor) -> Tensor:
        """uint8 pixels (N, C, H, W) to what the network takes: float32 (N, C, H, W).

        Memory format and device stay those of the batch.
        """
        mean, std = _per_channel(self.mean, batch.device), _per_channel(self.std, batch.device)
        return batch.float().div_(255).sub_(mean).div_(std)


@cache  # a copy to a GPU makes the caller wait for it
def _per_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(values, device=device).view(1, -1, 1, 1)


def read(
    encoded: bytes,
    spec: InputSpec,
    *,
    formats: tuple[str, ...] = FORMATS,
    max_pixels: int | None = None,
) -> Pixels:
    """Decode and scale an encoded image to the network's input: uint8 (C, H, W).

    Like `spec.pixels(decode(…))`, but faster: libspng decodes small plain PNGs, and JPEGs far
    larger than the input are decoded at 1/2, 1/4 or 1/8 of their size before the filter scales
    them. Raises the errors of `decode`.
    """
    if "PNG" in formats:
        small = read_small(encoded, spec, max_pixels=max_pixels)
        if small is not None:
            return small
    side = _REDUCING_GAP * max(spec.height, spec.width)  # turned or not
    return spec.array(decode(encoded, formats=formats, max_pixels=max_pixels, at_least=side))


def read_small(encoded: bytes, spec: InputSpec, *, max_pixels: int | None = None) -> Pixels | None:
    """The same for a small plain PNG, in some microseconds; None for others."""
    array = png.pixels(encoded, max_pixels)
    if array is None:
        return None
    if array.shape == (spec.height, spec.width) and spec.channels == 1:
        return array[None]
    if array.shape == (spec.height, spec.width, spec.channels):
        return array.transpose(2, 0, 1)
    return spec.array(Image.fromarray(array))


def decode(
    encoded: bytes,
    *,
    formats: tuple[str, ...] = FORMATS,
    max_pixels: int | None = None,
    at_least: int | None = None,
) -> Image.Image:
    """Decode the first frame of an encoded image, upright, in mode `L` or `RGB`.

    Transparent images are composited on white. 16-bit values are divided, not clipped. Palette,
    1-bit and CMYK images become grey or RGB.

    `formats` are Pillow's names of the formats to try; `max_pixels` is the largest width times
    height. The size is read from the header before anything is decoded. A JPEG may come out at a
    half, a quarter or an eighth of its size, with both sides `at_least` that long. Raises
    `TooManyPixelsError`, or `ImageError` for what is not a whole picture.
    """
    try:
        image = Image.open(BytesIO(encoded), formats=formats)
        width, height = image.size
        if max_pixels is not None and width * height > max_pixels:
            raise TooManyPixelsError(
                f"{width} × {height} pixels; the limit is {max_pixels:,} in all"
            )
        if max(width, height) > LONGEST_SIDE:
            raise ImageError(f"{width} × {height} pixels; a side may have {LONGEST_SIDE:,}")
        if image.format in ("JPEG", "MPO"):
            image.decodermaxblock = len(encoded)  # all is decoded in one call, without copies
        if at_least is not None:
            image.draft(None, (at_least, at_least))  # of JPEGs only
        image.load()
        return _eight_bits(_upright(image))
    except (ImageError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        allowed = f"; the limit is {max_pixels:,} in all" if max_pixels is not None else ""
        raise TooManyPixelsError(f"far too many pixels{allowed}") from error
    except UnidentifiedImageError as error:
        raise ImageError("not a picture of a known format, or its header is broken") from error
    except Exception as error:  # Pillow's plugins raise a dozen types for broken files
        raise ImageError("corrupt or truncated") from error


def _upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF orientation says, if that can be read."""
    with suppress(Exception):  # broken metadata doesn't break the picture
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
        if turn is not None:
            return image.transpose(turn)
    return image


def _eight_bits(image: Image.Image) -> Image.Image:
    """Any of Pillow's modes to `L` or `RGB`."""
    if image.mode == "F":
        raise ImageError("floating-point pixels have no stated range")
    if image.mode.startswith("I"):  # 16 bits, which convert() would clip to white
        levels = np.asarray(image).astype(np.int32)
        np.clip(levels, 0, 65535, out=levels)
        levels += 128
        levels //= 257
        return Image.fromarray(levels.astype(np.uint8))
    if image.has_transparency_data:
        ground = Image.new("RGB", image.size, "white")
        layer = image if image.mode == "RGBA" else image.convert("RGBA")
        ground.paste(layer, mask=layer.getchannel("A"))
        return ground
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _centred(
    size: tuple[int, int], proportions: tuple[int, int]
) -> tuple[float, float, float, float]:
    """The largest centred box (left, top, right, bottom) of the given proportions."""
    width, height = size
    across = min(width, height * proportions[0] / proportions[1])
    down = min(height, width * proportions[1] / proportions[0])
    left, top = (width - across) / 2, (height - down) / 2
    return left, top, left + across, top + down
