"""Images without an object: a seed → colours, gradients, noise, stripes, shapes and strokes.

A network that was trained on its classes alone predicts one of them for such images, with high
confidence. The images serve as strangers in training, without a data set.
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

SIDE = 64  # pixels
_CANVAS = 2 * SIDE  # that shapes and strokes are drawn on, so that their edges are soft

Floats = npt.NDArray[np.float64]
Generator = np.random.Generator


def draw(count: int, seed: int) -> tuple[list[Image.Image], list[int]]:
    """Draw `count` images of each kind, one kind after the other, and their indices in `LABELS`.

    They have mode "RGB" and 64×64 pixels. Image i of a kind depends on seed, kind and i only.
    """
    images, targets = [], []
    for target, kind in enumerate(_KINDS.values()):
        for number in range(count):
            generator = np.random.default_rng([seed, target, number])
            pixels = kind(generator) * _tint(generator)
            images.append(Image.fromarray((pixels * 255).round().clip(0, 255).astype(np.uint8)))
            targets.append(target)
    return images, targets


def _colours(generator: Generator) -> Floats:
    """An image of one colour, often with faint noise."""
    grain = generator.normal(0, generator.choice([0, 0.01, 0.03]), (SIDE, SIDE, 3))
    return generator.random(3) + grain


def _gradients(generator: Generator) -> Floats:
    """A smooth change from one colour to another, along a line or around a point."""
    along = _along(generator)
    if generator.random() < 0.5:
        y, x = np.mgrid[:SIDE, :SIDE] / SIDE - generator.random((2, 1, 1))
        along = np.hypot(x, y)
    along = (along - along.min()) / np.ptp(along)
    return _mixed(along ** generator.uniform(0.5, 2), *generator.random((2, 3)))


def _noise(generator: Generator) -> Floats:
    """Random grains, from as large as half the image to single pixels, grey or coloured."""
    size = int(generator.integers(2, SIDE, endpoint=True))
    channels = int(generator.choice([1, 3]))
    contrast = generator.uniform(0.2, 1)
    grains = generator.random((size, size, channels)) * contrast
    how = generator.choice([Image.Resampling.NEAREST, Image.Resampling.BICUBIC])
    return _enlarged(generator.random(channels) * (1 - contrast) + grains, how)


def _stripes(generator: Generator) -> Floats:
    """Stripes of two colours, soft or sharp, straight or waved."""
    waves = generator.uniform(0, 4) * np.sin(_along(generator) * generator.uniform(3, 12))
    wave = np.sin(_along(generator) * generator.uniform(6, 60) + waves)
    sharpness = generator.uniform(1, 8)
    return _mixed((wave * sharpness).clip(-1, 1) / 2 + 0.5, *generator.random((2, 3)))


def _shapes(generator: Generator) -> Floats:
    """Ellipses, boxes and polygons on a ground, one large one or several."""
    ground = _colour(generator)

    def add(draw: ImageDraw.ImageDraw) -> None:
        colour = _colour(generator, but=ground)
        corners = generator.uniform(-0.1, 1.1, (int(generator.integers(3, 9)), 2)) * _CANVAS
        box = [*corners[:2].min(0), *corners[:2].max(0)]
        kind = generator.integers(3)
        if kind == 0:
            draw.ellipse(box, colour)
        elif kind == 1:
            draw.rectangle(box, colour)
        else:
            draw.polygon([tuple(each) for each in corners], colour)

    return _drawn(ground, int(generator.choice([1, 1, 2, 4, 8])), add)


def _strokes(generator: Generator) -> Floats:
    """Lines and arcs of one ink, few and thick or many and thin, as of writing."""
    ground = _colour(generator)
    ink = _colour(generator, but=ground)
    count = int(generator.choice([1, 2, 4, 12, 60]))
    length = _CANVAS / count**0.5
    width = int(generator.uniform(0.05, 0.25) * length) + 1

    def add(draw: ImageDraw.ImageDraw) -> None:
        at, to = generator.uniform(0, _CANVAS, 2), generator.uniform(-1, 1, 2) * length
        if generator.random() < 0.5:
            draw.line([*at, *(at + to)], ink, width)
        else:
            box = [*np.minimum(at, at + to), *np.maximum(at, at + to)]
            start, end = generator.uniform(0, 360, 2)
            draw.arc(box, start, end, ink, width)

    return _drawn(ground, count, add)


def _drawn(
    ground: tuple[int, ...], count: int, add: Callable[[ImageDraw.ImageDraw], None]
) -> Floats:
    image = Image.new("RGB", (_CANVAS, _CANVAS), ground)
    draw = ImageDraw.Draw(image)
    for _ in range(count):
        add(draw)
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX)) / 255


def _colour(generator: Generator, but: tuple[int, ...] | None = None) -> tuple[int, ...]:
    """Return black, white, a grey or any colour, but never `but`."""
    kind = generator.integers(4)
    if kind < 2:
        found = (255 * int(kind),) * 3
    else:
        levels = generator.integers(256, size=1 if kind == 2 else 3).tolist()
        found = tuple(levels * (3 // len(levels)))
    return found if found != but else _colour(generator, but)


def _along(generator: Generator) -> Floats:
    """The position of each pixel (H, W) along a random direction; 1 is the image's side."""
    angle = generator.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    along: Floats = x * np.cos(angle) + y * np.sin(angle)
    return along


def _mixed(part: Floats, one: Floats, other: Floats) -> Floats:
    """Mix two colours: each pixel has `part` (H, W) of `other`, and the rest of `one`."""
    return one + part[..., None] * (other - one)


def _enlarged(grains: Floats, how: Image.Resampling) -> Floats:
    """Resize random grains (h, w, 1 or 3) to the image's size, (64, 64, 3), with that filter."""
    scaled = [
        np.asarray(Image.fromarray(channel.astype(np.float32)).resize((SIDE, SIDE), how))
        for channel in np.moveaxis(grains, 2, 0)
    ]
    return np.stack([scaled[channel % len(scaled)] for channel in range(3)], 2).astype(np.float64)


def _tint(generator: Generator) -> Floats:
    """Factors for the three channels: half of the images are made duller, as photographs are."""
    return np.ones(3) if generator.random() < 0.5 else generator.uniform(0.4, 1, 3)


_KINDS: Mapping[str, Callable[[Generator], Floats]] = {
    "colours": _colours,
    "gradients": _gradients,
    "noise": _noise,
    "stripes": _stripes,
    "shapes": _shapes,
    "strokes": _strokes,
}
LABELS = tuple(_KINDS)
