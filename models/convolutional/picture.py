"""The image that a map is made of: in its own size, or scaled to fit the window and the limits.

Colours are those of the prediction, and so is the filter that scales. A framing rule is not
followed, since it would cut one subject out: of it, light on dark alone is kept. An image of the
input's own size is one window, and is looked at as in a prediction.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.images import decoding
from models.images.decoding import Box, Frame, Pixels
from models.preprocessing import InputSpec

LEAST_LONGEST = 512  # pixels that the longer side of an image may always have
_SMALLER = 0.9  # of the size before, where an image is too large
_HALF = 127.5  # level; a ground above it is light
_BLACK = 8  # level of a ground that is not taken away, at most


@dataclass(frozen=True)
class Picture:
    """Pixels, uint8 (C, H, W), and the part of the image that they show.

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
    """Pixels of the longer side of an image, more of which a map doesn't use.

    Two windows of the input lie side by side at least. A photograph of more pixels has its subjects
    in more windows than one, and each of its places would see a part of them.
    """
    return max(LEAST_LONGEST, 2 * max(spec.height, spec.width))


def prepared(
    image: Image.Image,
    spec: InputSpec,
    is_affordable: Callable[[int, int], bool],
    sent: tuple[int, int] | None = None,
) -> Picture:
    """An upright image as the map takes it.

    It is enlarged until the input's window fits, and made smaller until it is affordable by height
    and width. Where both can't be, a part in its middle is taken. `sent` is the width and height
    that it was sent with, if that is larger.
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
    pixels = decoding.scaled(image if cut == (0, 0, *image.size) else image.crop(cut), frame)
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
    """An image of the input's own size, as a prediction takes it."""
    pixels, (left, top, right, bottom) = decoding.scaled_with_box(image, spec)
    changes = _scaling(sent or image.size, image.size)
    if spec.rule is not None or spec.resize_size is not None:
        changes.append("The image has the size of the input, and is framed as for a prediction.")
    box = left / image.width, top / image.height, right / image.width, bottom / image.height
    return Picture(pixels, box, tuple(changes))


def _scaled(image: Image.Image, scale: float, spec: InputSpec) -> tuple[int, int]:
    """Height and width of the scaled image, in which the window fits."""
    return (
        max(spec.height, round(image.height * scale)),
        max(spec.width, round(image.width * scale)),
    )


def _shorter(part: tuple[int, int], spec: InputSpec) -> tuple[int, int]:
    """A smaller part, along the side that is longer for a window."""
    height, width = part
    if height / spec.height > width / spec.width:
        return max(spec.height, int(height * _SMALLER)), width
    return height, max(spec.width, int(width * _SMALLER))


def _middle(size: tuple[int, int], across: float, down: float) -> tuple[int, int, int, int]:
    """The middle of an image, such parts of its width and height, in whole pixels."""
    (left, right), (top, bottom) = (
        (start, min(side, max(start + 1, round(side * (1 + part) / 2))))
        for side, part in zip(size, (across, down), strict=True)
        for start in [round(side * (1 - part) / 2)]
    )
    return left, top, right, bottom


def _scaling(before: tuple[int, int], after: tuple[int, int]) -> list[str]:
    """What was done to the size of an image, (width, height), if anything."""
    said = " to ".join(f"{width} × {height}" for width, height in (before, after))
    if after == before:
        return []
    if after[0] > before[0] or after[1] > before[1]:
        return [f"The image is enlarged from {said} pixels, so that the input fits."]
    return [f"The image is made smaller, from {said} pixels."]


def _light_on_dark(pixels: Pixels) -> tuple[Pixels, list[str]]:
    """Grey levels (C, H, W) light on dark, as framed training images are, and what was done.

    The ground is the level that most of the border has. A dark ground that is not black, as
    photographed paper has once it is inverted, is taken away.
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
