"""Pictures → pixels of a network's input, without torch: the part that is shown, scaled.

picture → framing rule of the input, or its largest centred part → filter → uint8 (C, H, W)
"""

from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.images import framing
from models.images.framing import Rule

Pixels = NDArray[np.uint8]
Box = tuple[float, float, float, float]  # left, top, right, bottom
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


class Framing(Protocol):
    """The fields of a `models.preprocessing.InputSpec` that decide the pixels of its images."""

    @property
    def channels(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def resize(self) -> Literal["crop", "stretch"]: ...
    @property
    def resize_size(self) -> int | None: ...
    @property
    def interpolation(self) -> Literal["bilinear", "bicubic"] | None: ...
    @property
    def rule(self) -> Rule | None: ...


class Frame(NamedTuple):
    """The values of a `Framing` as a tuple, which can be sent to another process (see `packed`)."""

    channels: int
    height: int
    width: int
    resize: Literal["crop", "stretch"]
    resize_size: int | None = None
    interpolation: Literal["bilinear", "bicubic"] | None = None
    rule: Rule | None = None

    @classmethod
    def of(cls, framing: Framing) -> "Frame":
        return cls(*(getattr(framing, name) for name in cls._fields))

    @property
    def packed(self) -> tuple[Any, ...]:
        """The frame as tuples, numbers and strings only, so that it can be sent."""
        return *self[:-1], self.rule and tuple(self.rule)

    @classmethod
    def unpacked(cls, packed: tuple[Any, ...]) -> "Frame":
        frame = cls(*packed)
        return frame._replace(rule=frame.rule and Rule(*frame.rule))


def scaled(image: Image.Image, to: Framing) -> Pixels:
    """Scale a picture to the network's input, before normalisation: uint8 (C, H, W)."""
    return scaled_with_box(image, to)[0]


def scaled_with_box(image: Image.Image, to: Framing) -> tuple[Pixels, Box]:
    """Scale like `scaled`, and return also the part of the picture that is shown, in its pixels.

    With a framing rule, that is the part around the subject, which may reach beyond the picture. A
    picture that is framed already, or in which nothing stands out, is scaled as without the rule. A
    framed one that is dark on light is inverted.
    """
    if to.rule is None:
        return _scaled(image, to), box(image.size, to)
    if max(image.size) <= framing.LARGEST_LOOKED_AT:
        found = framed_already(np.asarray(image.convert("L")), to)
        if found is not None:
            return found, box(image.size, to)
    subject = framing.framed(image, to.rule, (to.width, to.height))
    if subject is None:
        return _scaled(image, to), box(image.size, to)
    return np.repeat(subject.pixels[None], to.channels, 0), subject.box


def framed_already(levels: Pixels, to: Framing) -> Pixels | None:
    """Return the input for a grey picture (H, W) that is framed already, light on dark or dark on
    light; None for others."""
    if to.rule is None or levels.shape[0] != levels.shape[1]:
        return None
    if levels[0, 0] > framing.HALF:
        levels = ~levels
    if not framing.already(levels, to.rule):
        return None
    if to.channels == 1 and is_as_it_is((levels.shape[1], levels.shape[0]), to):
        return levels[None]
    return _scaled(Image.fromarray(levels), to)


def _scaled(image: Image.Image, to: Framing) -> Pixels:
    mode = "L" if to.channels == 1 else "RGB"
    if image.mode != mode:
        image = image.convert(mode)
    if not is_as_it_is(image.size, to):
        filter = _FILTERS[to.interpolation or "bilinear"]
        image = image.resize((to.width, to.height), filter, box=box(image.size, to))
    array = np.array(image, dtype=np.uint8)  # (H, W) or (H, W, C)
    return array.reshape(to.height, to.width, to.channels).transpose(2, 0, 1)


def box(size: tuple[int, int], to: Framing) -> Box:
    """Return the part of a picture of that width and height that the network gets, in its pixels,
    where no framing rule finds a subject."""
    if to.resize_size is not None:
        return _centre_of(size, _resized(size, to, to.resize_size), (to.width, to.height))
    if to.resize == "stretch":
        return 0, 0, *size
    return _centred(size, (to.width, to.height))


def is_as_it_is(size: tuple[int, int], to: Framing) -> bool:
    """Return whether the network gets a picture of that width and height without any scaling."""
    return size == (to.width, to.height) and to.resize_size in (None, min(size))


def _resized(size: tuple[int, int], to: Framing, shorter: int) -> tuple[int, int]:
    """Return width and height of a picture after its shorter side is scaled to `shorter` pixels,
    rounded as in torchvision."""
    width, height = (to.width, to.height) if to.resize == "stretch" else size
    if width <= height:
        return shorter, max(shorter, shorter * height // width)
    return max(shorter, shorter * width // height), shorter


def _centre_of(size: tuple[int, int], resized: tuple[int, int], part: tuple[int, int]) -> Box:
    """Return the box in a picture that becomes the central `part` of the resized one."""
    lengths = zip(size, resized, part, strict=True)
    (left, right), (top, bottom) = (
        (start * length / scaled, (start + side) * length / scaled)
        for length, scaled, side in lengths
        for start in [round((scaled - side) / 2)]  # as torchvision's CenterCrop rounds it
    )
    return left, top, right, bottom


def _centred(size: tuple[int, int], proportions: tuple[int, int]) -> Box:
    """Return the largest centred box of the given proportions."""
    width, height = size
    across = min(width, height * proportions[0] / proportions[1])
    down = min(height, width * proportions[1] / proportions[0])
    left, top = (width - across) / 2, (height - down) / 2
    return left, top, left + across, top + down
