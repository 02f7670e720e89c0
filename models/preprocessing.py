"""Preprocessing of images, the same as in training: bytes → pixels → normalised batch.

    read(bytes, spec) → uint8 array (C, H, W), scaled to the network's input; it is
      decode(bytes)     → a PIL image, upright, `L` or `RGB`, eight bits a channel
      spec.pixels       → the same as a tensor
    spec.normalize    → float32 batch (N, C, H, W), computed on the batch's own device

`models.decoding` has what needs no torch.

Training and service call the same functions, so an image gives the same values in both.
"""

from functools import cache
from typing import Annotated, Literal, Self

import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator
from pydantic.json_schema import SkipJsonSchema
from torch import Tensor

from models import decoding
from models.decoding import FORMATS, Pixels, decode, read, read_small
from models.errors import ImageError, TooManyPixelsError

__all__ = [
    "FORMATS",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
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


class InputSpec(BaseModel):
    """The input of a network, as its checkpoint states it.

    `resize` applies to images of another size. `crop` scales the largest centred crop that has the
    aspect ratio of the input. `stretch` scales the whole image and changes its aspect ratio. The
    filter is antialiased, and bilinear unless `interpolation` says otherwise.

    With a `resize_size`, the image is first scaled until its shorter side has so many pixels
    (`stretch`: until that of the stretched one has), and the input is cut out of its centre, as
    torchvision's and timm's evaluation transforms do. It holds for images of every size.

    `mean` and `std` are per channel, for pixels in [0, 1]: x = (pixel / 255 - mean) / std.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: Literal[1, 3]
    height: int = Field(ge=1, le=4096)
    width: int = Field(ge=1, le=4096)
    resize: Literal["crop", "stretch"] = "crop"
    resize_size: Annotated[int, Field(ge=1, le=8192)] | SkipJsonSchema[None] = None
    interpolation: Literal["bilinear", "bicubic"] | SkipJsonSchema[None] = None
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

    def pixels(self, image: Image.Image) -> Tensor:
        """The picture as the network sees it, before normalisation: uint8 (C, H, W)."""
        return torch.from_numpy(self.array(image))

    def array(self, image: Image.Image) -> Pixels:
        """The same as an array."""
        return decoding.scaled(image, self)

    def box(self, size: tuple[int, int]) -> decoding.Box:
        """The part of a picture of that width and height that the network gets, in its pixels:
        (left, top, right, bottom)."""
        return decoding.box(size, self)

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
