"""A picture → the network's input, framed by a rule, and the part of the picture that it shows."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.images.framing import finding
from models.images.framing.components import grown
from models.images.framing.finding import Found
from models.images.framing.ground import Floats
from models.images.framing.rule import Rule

Pixels = NDArray[np.uint8]
Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels of the picture
LEAST_SIDE = 320  # pixels of the shorter side that a JPEG is decoded with
_LOOK = 144  # pixels of the longer side of the copy in which the subject is looked for
_SAMPLES = 3  # pixels a side that are averaged to one
_LEAST_SUBJECT = 5.0  # pixels of the picture that a subject's longer side has; less shows nothing
_PATCH = 128  # pixels a side of the part in which it is drawn
_BLACK = 8  # level of a ground of one shade, at most
_DARKEST = 0.8  # of black, that the darkest of a photographed object is brought to


class Framed(NamedTuple):
    """The input, uint8 (H, W), light on black, and the part of the picture that it shows.

    The box may reach beyond the picture.
    """

    pixels: Pixels
    box: Box


def framed(image: Image.Image, rule: Rule, size: tuple[int, int]) -> Framed | None:
    """Find the subject of a picture, `L` or `RGB`, and frame it as an input of (width, height).

    None where nothing stands out from the ground.
    """
    small = _copy(image)
    found = finding.find(_levels(small), rule)
    if found is None:
        return None
    scale = image.width / small.width, image.height / small.height
    left, top, right, bottom = found.box
    longer = max((right - left) * scale[0], (bottom - top) * scale[1])
    if longer < _LEAST_SUBJECT:
        return None
    reach = longer * 0.5 * max(1.3, 1.15 / rule.fill)
    across, down = (left + right) / 2 * scale[0], (top + bottom) / 2 * scale[1]
    around = (across - reach, down - reach, across + reach, down + reach)
    patch = _Patch(image, small, around)
    drawn = _drawn(patch, found) if rule.subject == "strokes" else _shaded(patch, found)
    if not drawn.any():
        return None
    return _placed(drawn, rule, size, around)


class _Patch:
    """A square part of the picture around the subject, scaled to `_PATCH` pixels a side.

    Its levels come from the full resolution, or from the small copy where that has enough pixels.
    """

    def __init__(self, image: Image.Image, small: Image.Image, around: Box) -> None:
        self._scale = image.width / small.width, image.height / small.height
        left, top, right, bottom = around
        self._inside = (
            *(max(0.0, left), max(0.0, top)),
            *(min(float(image.width), right), min(float(image.height), bottom)),
        )
        pixel = (right - left) / _PATCH
        self._corner = (
            round((self._inside[0] - left) / pixel),
            round((self._inside[1] - top) / pixel),
        )
        self._size = (
            min(
                _PATCH - self._corner[0], max(1, round((self._inside[2] - self._inside[0]) / pixel))
            ),
            min(
                _PATCH - self._corner[1], max(1, round((self._inside[3] - self._inside[1]) / pixel))
            ),
        )
        source, inside = (
            (image, self._inside) if pixel < self._scale[0] else (small, self._of_small())
        )
        self.levels = _levels(_reduced(source, self._size, inside))

    def _of_small(self) -> Box:
        left, top, right, bottom = self._inside
        across, down = self._scale
        return left / across, top / down, right / across, bottom / down

    def of(self, values: Floats) -> Floats:
        """Crop the area of the patch from an array (h, w) as large as the downscaled image.

        The result has the size of `levels`, by bilinear interpolation. It is only the part of the
        patch inside the image; `whole` pads it to the full square.
        """
        image = Image.fromarray(np.ascontiguousarray(values, np.float32))
        left, top, right, bottom = self._of_small()
        inside = left, top, min(right, image.width), min(bottom, image.height)
        return np.asarray(image.resize(self._size, Image.Resampling.BILINEAR, box=inside))

    def whole(self, values: Floats) -> Floats:
        """Pad values of the part inside the picture with zeros beyond it: (_PATCH, _PATCH)."""
        found = np.zeros((_PATCH, _PATCH), np.float32)
        left, top = self._corner
        found[top : top + self._size[1], left : left + self._size[0]] = values
        return found


def _drawn(patch: _Patch, found: Found) -> Floats:
    """Return the ink at each pixel, 0 to 1: the residual along the strokes' mean difference."""
    strength = float(found.difference @ found.difference)
    if not strength:
        return patch.whole(patch.levels[0] * 0)
    along = found.difference / strength
    ink = sum(levels * part for levels, part in zip(patch.levels, along, strict=True))
    ink = ink - patch.of(
        sum(levels * part for levels, part in zip(found.ground, along, strict=True))
    )
    ink *= patch.of(grown(found.mask, 1).astype(np.float32)) > 0.5
    strokes = ink[ink > 0.5]
    if not len(strokes):
        return patch.whole(ink * 0)
    full = float(np.percentile(strokes, 75))
    least = min(
        0.35, max(0.1, 2.5 * found.noise / np.sqrt(strength / len(found.difference)) / full)
    )
    return patch.whole(((ink / full - least) / (1 - least)).clip(0, 1))


def _shaded(patch: _Patch, found: Found) -> Floats:
    """Return the object's shades, 0 to 1, and 0 around it.

    Dark shades are high, as in a negative; on a black ground light ones are.
    """
    grey = patch.levels.mean(0)
    under = patch.of(found.ground.mean(0))
    body = patch.of(found.mask.astype(np.float32)) > 0.5
    if not body.any():  # thinner than a pixel of the patch
        return patch.whole(grey * 0)
    if found.is_plain and float(under.mean()) <= _BLACK:
        return patch.whole(grey / 255 * body)
    white = max(float(under.mean()), float(np.percentile(grey[body], 98)))
    if not white:  # a black object on a black ground
        return patch.whole(grey * 0)
    shades = (1 - grey / white).clip(0, 1) * body
    if not found.is_plain:  # a photograph's darkest is not black
        shades = shades * max(1.0, _DARKEST / max(float(np.percentile(shades[body], 95)), 0.3))
    return patch.whole(shades.clip(0, 1))


def _placed(drawn: Floats, rule: Rule, size: tuple[int, int], around: Box) -> Framed | None:
    """Place the subject in the frame; None if nothing of it is visible."""
    inked = drawn > 0.06
    if not inked.any():
        return None
    left, top, right, bottom = finding.box(inked)
    width, height = size
    side = max(right - left, bottom - top) / rule.fill  # of the shorter side of the input
    reach = side * width / min(size), side * height / min(size)
    if rule.centre == "mass":
        total = float(drawn.sum())
        place = np.arange(_PATCH) + 0.5
        middle = float(drawn.sum(0) @ place) / total, float(drawn.sum(1) @ place) / total
    else:
        middle = (left + right) / 2, (top + bottom) / 2
    corner = middle[0] - rule.middle * reach[0], middle[1] - rule.middle * reach[1]
    box = (*corner, corner[0] + reach[0], corner[1] + reach[1])
    pad = int(max(0, -min(box), max(box) - _PATCH)) + 1
    wide = Image.fromarray(np.pad(drawn, pad))
    moved = (box[0] + pad, box[1] + pad, box[2] + pad, box[3] + pad)
    values = np.asarray(wide.resize(size, Image.Resampling.BILINEAR, box=moved))
    if rule.subject == "strokes":
        values = values / max(float(values.max()), 0.2)
    pixel = (around[2] - around[0]) / _PATCH
    return Framed(
        (255 * values.clip(0, 1)).round().astype(np.uint8),
        (
            *(around[0] + box[0] * pixel, around[1] + box[1] * pixel),
            *(around[0] + box[2] * pixel, around[1] + box[3] * pixel),
        ),
    )


def _levels(image: Image.Image) -> Floats:
    """Return the levels of an image as an array (C, H, W)."""
    return np.stack([np.asarray(band, np.float32) for band in image.split()])


def _copy(image: Image.Image) -> Image.Image:
    """Copy the picture with at most `_LOOK` pixels a side; a far larger one is sampled."""
    longer = max(image.size)
    if longer <= _LOOK:
        return image
    width, height = (max(1, round(side * _LOOK / longer)) for side in image.size)
    return _reduced(image, (width, height), (0, 0, *image.size))


def _reduced(image: Image.Image, size: tuple[int, int], box: Box) -> Image.Image:
    """Scale a part of a picture to `size`. Each pixel is the mean of a few samples, however many
    pixels the part has."""
    many = min(_SAMPLES, int(min((box[2] - box[0]) / size[0], (box[3] - box[1]) / size[1])))
    if many < 2:
        return image.resize(size, Image.Resampling.BILINEAR, box=box)
    samples = (many * size[0], many * size[1])
    return image.resize(samples, Image.Resampling.NEAREST, box=box).reduce(many)
