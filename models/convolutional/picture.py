"""The image that a class map is made of, in its own size or scaled to fit window and limits.

Colours and the scaling filter are those of a prediction. A framing rule is not applied, since it
would cut one subject out; only its convention of light on dark is kept. An image of the input's own
size is one window, and is prepared as for a prediction.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.images import scaling
from models.images.scaling import Box, Frame, Pixels
from models.preprocessing import InputSpec

LEAST_LONGEST = 512  # pixels that the longer side of an image may always have
_SMALLER = 0.9  # of the size before, where an image is too large
_HALF = 127.5  # level; a ground above it is light
_BLACK = 8  # level of a ground that is not taken away, at most


@dataclass(frozen=True)
class Picture:
    """The pixels, uint8 (C, H, W), that a map is made of, and the part of the image they show.

    `box` is left, top, right, bottom in fractions of the image's width and height. `changes` are
    sentences on what was done to the image.
    """

    pixels: Pixels
    box: Box
    changes: tuple[str, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[1], self.pixels.shape[2]


def longest(spec: InputSpec) -> int:
    """Return the number of pixels to which a map limits the longer side of an image.

    At least two windows of the input fit side by side. In a larger photograph a subject covers
    several windows, and each of them would see only a part of it.
    """
    return max(LEAST_LONGEST, 2 * max(spec.height, spec.width))


def prepared(
    image: Image.Image,
    spec: InputSpec,
    is_affordable: Callable[[int, int], bool],
    sent: tuple[int, int] | None = None,
) -> Picture:
    """Scale an upright image for a class map.

    It is enlarged until the input's window fits, and made smaller until `is_affordable(height,
    width)`. If both are impossible, a part in its middle is taken. `sent` is the width and height
    of the image as it was sent, if that is larger.
    """
    if image.size == (spec.width, spec.height):
        return _as_predicted(image, spec, sent)
    least = max(spec.width / image.width, spec.height / image.height)
    allowed = longest(spec) / max(image.size)
    scale = max(least, min(1.0, allowed))
    while scale > least and not is_affordable(*_scaled(image, scale, spec)):
        scale = max(least, scale * _SMALLER)
    height, width = _scaled(image, scale, spec)
    part = height, width
    while part != (spec.height, spec.width) and not is_affordable(*part):
        part = _shorter(part, spec)
    cut = _middle(image.size, part[1] / width, part[0] / height)
    if (height, width) == (image.height, image.width):  # as many pixels as the part has
        left, top = (image.width - part[1]) // 2, (image.height - part[0]) // 2
        cut = left, top, left + part[1], top + part[0]
    frame = Frame(spec.channels, *part, "stretch", None, spec.interpolation)
    pixels = scaling.scaled(image if cut == (0, 0, *image.size) else image.crop(cut), frame)
    changes, before = list[str](), sent or image.size
    if part != (height, width):
        changes.append("Only the middle of the image, which is very long, is looked at.")
        across, down = (was / now for was, now in zip(before, image.size, strict=True))
        before = round((cut[2] - cut[0]) * across), round((cut[3] - cut[1]) * down)
    changes += _scaling(before, (part[1], part[0]))
    if spec.resize_size is not None:
        changes.append(
            f"A prediction makes the image's shorter side {spec.resize_size} pixels and sees its "
            "middle; the map sees subjects as large as they are."
        )
    if spec.rule is not None:
        pixels, said = _light_on_dark(pixels)
        changes.append(
            "The model's framing rule is not followed: subjects are seen as large as they are."
        )
        changes += said
    left, top, right, bottom = cut
    box = left / image.width, top / image.height, right / image.width, bottom / image.height
    return Picture(pixels, box, tuple(changes))


def _as_predicted(image: Image.Image, spec: InputSpec, sent: tuple[int, int] | None) -> Picture:
    """Prepare an image of the input's own size as for a prediction."""
    pixels, (left, top, right, bottom) = scaling.scaled_with_box(image, spec)
    changes = _scaling(sent or image.size, image.size)
    if spec.rule is not None or spec.resize_size is not None:
        changes.append("The image has the size of the input, and is framed as for a prediction.")
    box = left / image.width, top / image.height, right / image.width, bottom / image.height
    return Picture(pixels, box, tuple(changes))


def _scaled(image: Image.Image, scale: float, spec: InputSpec) -> tuple[int, int]:
    """Return height and width of the scaled image, at least those of the window."""
    return (
        max(spec.height, round(image.height * scale)),
        max(spec.width, round(image.width * scale)),
    )


def _shorter(part: tuple[int, int], spec: InputSpec) -> tuple[int, int]:
    """Shorten a part (height, width) along the side that is longer relative to the window's."""
    height, width = part
    if height / spec.height > width / spec.width:
        return max(spec.height, int(height * _SMALLER)), width
    return height, max(spec.width, int(width * _SMALLER))


def _middle(size: tuple[int, int], across: float, down: float) -> tuple[int, int, int, int]:
    """Return the box in the middle of an image with the fractions `across` and `down` of its sides.

    The box is left, top, right, bottom in whole pixels.
    """
    (left, right), (top, bottom) = (
        (start, min(side, max(start + 1, round(side * (1 + part) / 2))))
        for side, part in zip(size, (across, down), strict=True)
        for start in [round(side * (1 - part) / 2)]
    )
    return left, top, right, bottom


def _scaling(before: tuple[int, int], after: tuple[int, int]) -> list[str]:
    """Describe how an image's size (width, height) was changed; an empty list if it was not."""
    said = " to ".join(f"{width} × {height}" for width, height in (before, after))
    if after == before:
        return []
    if after[0] > before[0] or after[1] > before[1]:
        return [f"The image is enlarged from {said} pixels, so that the input fits."]
    return [f"The image is made smaller, from {said} pixels."]


def _light_on_dark(pixels: Pixels) -> tuple[Pixels, list[str]]:
    """Make grey levels (C, H, W) light on dark, as in framed training images; say what was done.

    The ground is the median level of the border. A dark ground that is not black, as photographed
    paper has once it is inverted, is subtracted.
    """
    levels: NDArray[np.uint8] = np.asarray(pixels.mean(0).round(), np.uint8)
    border = np.concatenate([levels[0], levels[-1], levels[:, 0], levels[:, -1]]).astype(np.float32)
    ground, said = float(np.median(border)), list[str]()
    if ground > _HALF:
        levels, ground = ~levels, 255 - ground
        said.append("Light and dark are exchanged.")
    if ground > _BLACK:
        noise = 1.4826 * float(np.median(np.abs(border - np.median(border))))
        above = (levels.astype(np.float32) - ground - 3 * noise).clip(0)
        levels = np.asarray((above * (255 / max(1.0, float(above.max())))).round(), np.uint8)
        said.append("The ground is made black.")
    return np.repeat(levels[None], len(pixels), 0), said
