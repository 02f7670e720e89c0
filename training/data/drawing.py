"""Drawings of circles and crosses: a seed → pictures of both classes and their class indices.

There are two kinds. `original` imitates the original data set of circles and crosses, which users
don't have: ellipses, often cut off, and two straight strokes, thin and black on white. `by-hand`
imitates what people draw on the canvas of a page or photograph from paper. A network that has to
recognise such drawings is trained on these.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

LABELS = ("circles", "crosses")
SIDE = 116  # pixels

Floats = npt.NDArray[np.float64]


def draw(
    kind: Literal["original", "by-hand"], count: int, seed: int
) -> tuple[list[Image.Image], list[int]]:
    """Draw `count` pictures, all circles first, then as many crosses, and their class indices.

    The pictures have mode "L" and 116×116 pixels. Picture i of a class depends on the kind, the
    seed, the class and i only: a larger count begins each class with the same pictures. Raises
    `ValueError` if the count is odd or negative, or the seed negative.
    """
    if count < 0 or count % 2:
        raise ValueError(f"{count} pictures can't be half circles and half crosses")
    pictures: list[Image.Image] = []
    for target, label in enumerate(LABELS):
        for number in range(count // 2):
            generator = np.random.default_rng([seed, _KINDS.index(kind), target, number])
            pictures.append(_DRAWINGS[kind, label](generator))
    return pictures, [target for target in range(len(LABELS)) for _ in range(count // 2)]


# Like the original: the ranges are those measured in the original's 2,000 pictures, in pixels.

_LAST_COLUMN, _FIRST_ROW = 104, 11  # the pen draws nothing beyond them


def original_circle(generator: np.random.Generator) -> Image.Image:
    """An ellipse 49 to 85 pixels across, with a gap where it would pass the right or top limit."""
    left, bottom = generator.integers([15, 65], [51, 101], endpoint=True)
    width, height = generator.integers(46, 82, size=2, endpoint=True)  # of the pen's way
    angle = np.linspace(0, 2 * np.pi, 300)
    x = left + width / 2 * (1 + np.cos(angle))
    y = bottom - height / 2 * (1 + np.sin(angle))
    drawn = (x < _LAST_COLUMN + 0.5) & (y > _FIRST_ROW - 0.5)
    return _penned(np.stack([x, y], 1)[drawn])


def original_cross(generator: np.random.Generator) -> Image.Image:
    """Draw two straight strokes that begin in the upper and end in the lower half of a square.

    The stroke that falls to the left begins above the other and ends below it. So some strokes meet
    as a T, a V or a tick, and some don't meet.
    """
    left = generator.integers(16, 59, size=2, endpoint=True)
    right = generator.integers(60, 103, size=2, endpoint=True)
    upper = np.sort(generator.integers(12, 55, size=2, endpoint=True))
    lower = np.sort(generator.integers(56, 99, size=2, endpoint=True))
    falls_left = np.linspace((right[0], upper[0]), (left[0], lower[1]), 100)
    falls_right = np.linspace((left[1], upper[1]), (right[1], lower[0]), 100)
    return _penned(np.concatenate([falls_left, falls_right]))


def _penned(points: Floats) -> Image.Image:
    """Set a pen four pixels wide on each point, black on white; its marks must overlap."""
    picture = Image.new("L", (SIDE, SIDE), 255)
    pen = ImageDraw.Draw(picture)
    for x, y in points.round().astype(int).tolist():
        pen.rectangle((x - 2, y, x + 1, y), fill=0)
        pen.rectangle((x, y - 2, x, y + 1), fill=0)
        pen.point((x + 1, y + 1), fill=0)
    return picture


# By hand: strokes are curves (points, 2), drawn four times as large, then scaled down.

_SCALE = 4


def hand_circle(generator: np.random.Generator) -> Image.Image:
    """One wobbly turn that doesn't quite close, or goes on beyond its beginning."""
    along = np.linspace(0, 1, generator.integers(16, 48))
    direction = generator.choice([-1, 1])
    turn = 2 * np.pi + generator.uniform(-0.4, 0.7)  # radians
    angle = generator.uniform(0, 2 * np.pi) + direction * turn * along
    spiral = generator.uniform(-0.2, 0.2) * (along - 0.5)
    radius = 1 + spiral + generator.uniform(0.03, 0.22) * _wave(generator, along)
    flatness = generator.uniform(0.62, 1)
    curve = np.stack([np.cos(angle), flatness * np.sin(angle)], 1) * radius[:, None]
    return _on_a_ground([_turned(curve, generator.uniform(0, np.pi))], generator)


def hand_cross(generator: np.random.Generator) -> Image.Image:
    """Two bowed strokes that cross each other well inside, at 50 to 130 degrees."""
    along = np.linspace(0, 1, generator.integers(8, 24))
    tilt = generator.uniform(0, np.pi)
    strokes = []
    for angle in (tilt, tilt + np.radians(generator.uniform(50, 130))):
        length = generator.uniform(0.65, 1)
        crossing = generator.uniform(0.32, 0.68)  # the part of the stroke before it
        bow = generator.uniform(-0.4, 0.4) * (along - crossing) ** 2
        bow += generator.uniform(0, 0.03) * _wave(generator, along)
        strokes.append(_turned(length * np.stack([along - crossing, bow], 1), angle))
    return _on_a_ground(strokes, generator)


def _on_a_ground(strokes: list[Floats], generator: np.random.Generator) -> Image.Image:
    """Draw the strokes at a random size and place, with random ink and background, sharp or
    blurred."""
    extent = SIDE * generator.uniform(0.25, 0.95)
    width = generator.uniform(2, min(11, 0.17 * extent))
    stencil = _inked(_placed(strokes, extent - width, width, generator), width, generator)
    if generator.random() < 0.4:
        stencil = stencil.filter(ImageFilter.GaussianBlur(generator.uniform(0.3, 1.1)))
    ground, ink = _tones(generator)
    opacity = np.asarray(stencil, np.float64) / 255
    values = ground + (ink - ground) * opacity
    if generator.random() < 0.4:
        values += generator.uniform(1, 9) * generator.standard_normal(values.shape)
    return Image.fromarray(values.clip(0, 255).round().astype(np.uint8))


def _placed(
    strokes: list[Floats], extent: float, width: float, generator: np.random.Generator
) -> list[Floats]:
    """Scale the strokes to an extent in pixels and move them to a random place in the picture.

    One drawing in eight may reach beyond the edges by up to a tenth of its extent.
    """
    points = np.concatenate(strokes)
    scale = extent / np.ptp(points, 0).max()
    margin = -0.1 * extent if generator.random() < 0.125 else 0.6 * width
    room = SIDE - 2 * margin - scale * np.ptp(points, 0)
    corner = margin + room.clip(0) * generator.random(2)
    return [corner + scale * (stroke - points.min(0)) for stroke in strokes]


def _inked(strokes: list[Floats], width: float, generator: np.random.Generator) -> Image.Image:
    """Draw with a pen whose width in pixels varies: 255 where there is ink, 0 where not."""
    large = Image.new("L", (SIDE * _SCALE, SIDE * _SCALE))
    pen = ImageDraw.Draw(large)
    unevenness = generator.uniform(0.1, 0.5)
    for stroke in strokes:
        along = np.linspace(0, 1, len(stroke))
        uneven = width * (1 + unevenness * _wave(generator, along))
        # Whole numbers, so that the last bit of a sine on some machine changes no picture.
        radii = (_SCALE * uneven.clip(2, 14) / 2).round().astype(int).tolist()
        dots = (_SCALE * stroke).round().astype(int).tolist()
        before = dots[0]
        for (x, y), radius in zip(dots, radii, strict=True):
            pen.line((*before, x, y), fill=255, width=2 * radius)
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
            before = (x, y)
    return large.reduce(_SCALE)


def _tones(generator: np.random.Generator) -> tuple[Floats | float, float]:
    """Choose background and ink, levels of 0 to 255: dark on light or light on dark, far apart."""
    plain = generator.random() < 0.4
    depth = 0.0 if plain else generator.uniform(0, 70)
    ink = 0.0 if generator.random() < 0.4 else generator.uniform(0, 80)
    ground: Floats | float = 255 - depth
    if not plain and generator.random() < 0.6:
        ground = 255 - depth + generator.uniform(0, 22) * _slope(generator)
    return (255 - ground, 255 - ink) if generator.random() < 0.4 else (ground, ink)


def _slope(generator: np.random.Generator) -> Floats:
    """A plane over the picture, from about -1 to 1, that rises in any direction."""
    angle = generator.uniform(0, 2 * np.pi)
    across = np.linspace(-1, 1, SIDE)
    return np.asarray(np.cos(angle) * across[:, None] + np.sin(angle) * across)


def _wave(generator: np.random.Generator, along: Floats) -> Floats:
    """A smooth irregular curve over the stroke, from -1 to 1."""
    frequency = generator.uniform([0.4, 1, 2], [1, 2, 3.5])
    phase = generator.uniform(0, 2 * np.pi, 3)
    waves = np.sin(2 * np.pi * along[:, None] * frequency + phase)
    return np.asarray(waves @ np.array([0.5, 0.3, 0.2]))


def _turned(curve: Floats, angle: float) -> Floats:
    """Turn points (n, 2) about the origin, by radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.asarray(curve @ np.array([[cos, sin], [-sin, cos]]))


_KINDS = ("original", "by-hand")
_DRAWINGS: dict[tuple[str, str], Callable[[np.random.Generator], Image.Image]] = {
    ("original", "circles"): original_circle,
    ("original", "crosses"): original_cross,
    ("by-hand", "circles"): hand_circle,
    ("by-hand", "crosses"): hand_cross,
}
