"""Preprocessing of images, the same as in training: bytes → pixels → normalised batch.

    read(bytes, spec) → uint8 array (C, H, W), scaled to the network's input; it is
      decode(bytes)     → a PIL image, upright, `L` or `RGB`, eight bits a channel
      spec.pixels       → the same as a tensor
    spec.normalize    → float32 batch (N, C, H, W), computed on the batch's own device

`models.images.decoding` has what needs no torch.

Training and service call the same functions, so an image gives the same values in both.
"""

from functools import cache, cached_property
from typing import Annotated, Literal, Self

import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator
from pydantic.json_schema import SkipJsonSchema
from torch import Tensor

from models.errors import ImageError, TooManyPixelsError
from models.images import scaling
from models.images.decoding import FORMATS, decode, read, read_small
from models.images.framing import Rule
from models.images.scaling import Pixels

__all__ = [
    "FORMATS",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "FramingRule",
    "ImageError",
    "InputSpec",
    "Pixels",
    "TooManyPixelsError",
    "decode",
    "read",
    "read_small",
]
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class FramingRule(BaseModel):
    """The frame of the training images, into which other pictures are brought.

    `models.images.framing` does that.

    The network was trained on light subjects on black.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: Literal["strokes", "object"] = Field(
        description="strokes: lines of one ink, on any ground; object: a thing with its own shades"
    )
    fill: float = Field(gt=0.05, le=1, description="the subject's longer side, of the input's")
    centre: Literal["mass", "box"] = Field(
        "box", description="what lies in the middle: the centre of mass, or of the box around it"
    )
    middle: float = Field(0.5, ge=0.25, le=0.75, description="where that is, of the input's side")


class InputSpec(BaseModel):
    """The input of a network, as its checkpoint states it.

    `resize` applies to images of another size. `crop` scales the largest centred crop that has the
    aspect ratio of the input. `stretch` scales the whole image and changes its aspect ratio. The
    filter is antialiased, and bilinear unless `interpolation` says otherwise.

    With a `resize_size`, the image is first scaled until its shorter side has so many pixels
    (`stretch`: until that of the stretched one has), and the input is cut out of its centre, as
    torchvision's and timm's evaluation transforms do. It holds for images of every size.

    `framing` brings pictures into the frame of the training images first: it finds the subject,
    removes what it lies on, and centres it, light on black. Pictures that are framed already are
    left as they are. Without it, pictures are scaled as they come.

    `mean` and `std` are per channel, for pixels in [0, 1]: x = (pixel / 255 - mean) / std.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: Literal[1, 3] = Field(description="1: grey, 3: red, green and blue")
    height: int = Field(ge=1, le=4096, description="in pixels")
    width: int = Field(ge=1, le=4096, description="in pixels")
    resize: Literal["crop", "stretch"] = Field("crop", description="of images of another shape")
    resize_size: Annotated[int, Field(ge=1, le=8192)] | SkipJsonSchema[None] = Field(
        None, description="pixels of the shorter side before the input is cut out of the middle"
    )
    interpolation: Literal["bilinear", "bicubic"] | SkipJsonSchema[None] = Field(
        None, description="the filter that scales; bilinear where it is absent"
    )
    framing: FramingRule | SkipJsonSchema[None] = Field(
        None, description="how a subject is brought into the frame of the training images"
    )
    mean: tuple[FiniteFloat, ...] = Field((), description="of each channel, of pixels from 0 to 1")
    std: tuple[FiniteFloat, ...] = Field((), description="of each channel, of pixels from 0 to 1")

    @model_validator(mode="after")
    def _per_channel(self) -> Self:
        """Fill in absent statistics so that pixels stay in [0, 1], and check the fields."""
        for name, neutral in (("mean", 0.0), ("std", 1.0)):
            values = getattr(self, name) or (neutral,) * self.channels
            object.__setattr__(self, name, values)
            if len(values) != self.channels:
                raise ValueError(f"{name} has {len(values)} values for {self.channels} channels")
        if min(self.std) <= 0:
            raise ValueError("std must be above 0")
        if self.resize_size is not None and self.resize_size < max(self.height, self.width):
            raise ValueError(
                f"resize_size {self.resize_size} is below the size of the input, "
                f"{self.height} × {self.width}, which is cut out of it"
            )
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.channels, self.height, self.width

    @cached_property
    def rule(self) -> Rule | None:
        """The framing rule as `models.images.framing` takes it; None without one."""
        return None if self.framing is None else Rule(**self.framing.model_dump())

    def pixels(self, image: Image.Image) -> Tensor:
        """Scale the picture to the network's input, before normalisation: uint8 (C, H, W)."""
        return torch.tensor(self.array(image))

    def array(self, image: Image.Image) -> Pixels:
        """Return the same pixels as `pixels`, as an array."""
        return scaling.scaled(image, self)

    def box(self, size: tuple[int, int]) -> scaling.Box:
        """Return the part of a picture of that width and height that the network gets, in its
        pixels: (left, top, right, bottom). If a framing rule finds a subject, the part is another
        one, which `scaling.scaled_with_box` returns."""
        return scaling.box(size, self)

    def normalize(self, batch: Tensor) -> Tensor:
        """Normalise uint8 pixels (N, C, H, W) to float32 (N, C, H, W).

        Memory format and device stay those of the batch.
        """
        mean, std = _per_channel(self.mean, batch.device), _per_channel(self.std, batch.device)
        return batch.float().div_(255).sub_(mean).div_(std)


@cache  # a copy to a GPU makes the caller wait for it
def _per_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(values, device=device).view(1, -1, 1, 1)
