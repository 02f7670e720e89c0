"""Circles and crosses as people draw them, written apart from `training/data/drawing.py`.

A tool draws strokes on a ground. `TUNING` and `HELD_OUT` are two families: the first draws with
Pillow's lines, the second computes each pixel's distance to the strokes. A scene takes a class
(0: circle, 1: cross) and a generator, and returns an encoded file.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from benchmarks.as_taken.files import jpeg, png

Floats = NDArray[np.float64]
Scene = Callable[[int, Generator], bytes]
TOOLS = ("mouse", "pen", "pencil", "chalk", "marker")
GROUNDS = ("squared paper", "lined paper", "photographed", "transparent canvas")


# The first family: polygons and chords, Pillow's pen.


def _corners(target: int, rng: Generator) -> list[Floats]:
    """Strokes as points (n, 2) in about [0, 1] × [0, 1]."""
    if target == 0:
        count = int(rng.integers(14, 40))
        start, way = rng.uniform(0, 2 * np.pi), rng.choice([-1, 1])
        turn = np.linspace(0, way * (2 * np.pi + rng.uniform(-0.35, 0.5)), count) + start
        radii = np.array([1, rng.uniform(0.7, 1)]) / 2
        points = 0.5 + radii * np.stack([np.cos(turn), np.sin(turn)], 1)
        return [points + rng.normal(0, 0.008, points.shape)]
    ends = np.array([[[0, 0], [1, 1]], [[1, 0], [0, 1]]]) + rng.uniform(-0.12, 0.12, (2, 2, 2))
    along = np.linspace(0, 1, 9)[:, None]
    bow = rng.uniform(-0.06, 0.06, 2)
    return [
        start + (end - start) * along + bend * np.sin(np.pi * along) * (end - start)[::-1] * [-1, 1]
        for (start, end), bend in zip(ends, bow, strict=True)
    ]


def _pillow(tool: str, ground: str, target: int, rng: Generator) -> bytes:
    side = int(rng.choice([160, 280, 400, 600]))
    size = (side, round(side * rng.uniform(0.7, 1.4)))
    extent = min(size) * rng.uniform(0.25, 0.85)
    width = max(2, round(extent * _width(tool, rng)))
    room = np.array(size) - extent - 2 * width
    corner = width + room.clip(0) * rng.random(2)
    mask = Image.new("L", size)
    pen = ImageDraw.Draw(mask)
    for stroke in _corners(target, rng):
        dots = [(float(x), float(y)) for x, y in corner + extent * stroke]
        pen.line(dots, fill=255, width=width, joint="curve")
        for x, y in (dots[0], dots[-1]):
            pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=255)
    coverage = np.asarray(mask, np.float64) / 255
    if tool in ("pencil", "chalk"):
        grain = np.asarray(Image.fromarray(rng.integers(0, 256, size[::-1], dtype=np.uint8)), float)
        coverage = coverage * (0.55 + 0.45 * (grain / 255 > rng.uniform(0.2, 0.45)))
    if tool != "mouse":
        soft = Image.fromarray((255 * coverage).astype(np.uint8)).filter(
            ImageFilter.GaussianBlur(0.8)
        )
        coverage = np.asarray(soft, np.float64) / 255
    return _finished(tool, ground, coverage, rng)


# The second family: distances to smooth curves.


def _curves(target: int, rng: Generator) -> list[Floats]:
    if target == 0:
        along = np.linspace(0, 1, 120)
        turn = 2 * np.pi * (along * (1 + rng.uniform(-0.05, 0.12)) + rng.random())
        radius = 0.5 * (1 + rng.uniform(-0.08, 0.08) * along)
        radius = radius * (1 + rng.uniform(0, 0.05) * np.sin(2 * turn + rng.uniform(0, 6)))
        flat, tilt = rng.uniform(0.65, 1), rng.uniform(0, np.pi)
        x, y = radius * np.cos(turn), flat * radius * np.sin(turn)
        turned = np.stack(
            [np.cos(tilt) * x - np.sin(tilt) * y, np.sin(tilt) * x + np.cos(tilt) * y], 1
        )
        return [turned]
    tilt, between = rng.uniform(-0.5, 0.5) + np.pi / 4, np.radians(rng.uniform(60, 120))
    along = np.linspace(-0.5, 0.5, 40)[:, None]
    strokes = []
    for angle in (tilt, tilt + between):
        way = np.array([np.cos(angle), np.sin(angle)])
        side = np.array([-way[1], way[0]])
        bend = rng.uniform(-0.3, 0.3) * along**2
        strokes.append(rng.uniform(0.8, 1.1) * (along + rng.uniform(-0.1, 0.1)) * way + bend * side)
    return strokes


def _distances(tool: str, ground: str, target: int, rng: Generator) -> bytes:
    height, width = (int(value) for value in rng.integers(120, 520, 2))
    height, width = max(height, width // 2), max(width, height // 2)
    strokes = _curves(target, rng)
    points = np.concatenate(strokes)
    extent = min(height, width) * rng.uniform(0.22, 0.9)
    scale = extent / np.ptp(points, 0).max()
    pen = max(1.5, extent * _width(tool, rng))
    low, spread = points.min(0) * scale, np.ptp(points, 0) * scale
    corner = pen + (np.array([width, height]) - spread - 2 * pen).clip(0) * rng.random(2)
    down, across = np.mgrid[0:height, 0:width]
    nearest = np.full((height, width), np.inf)
    for stroke in strokes:
        placed = corner + scale * stroke - low
        step = max(1, int(len(placed) * pen / (8 * extent)))
        for x, y in placed[::step]:
            left, top = max(0, int(x - pen - 2)), max(0, int(y - pen - 2))
            part = np.s_[top : int(y + pen + 3), left : int(x + pen + 3)]
            nearest[part] = np.minimum(nearest[part], np.hypot(across[part] - x, down[part] - y))
    coverage = (pen / 2 + 0.5 - nearest).clip(0, 1)
    if tool == "mouse":
        coverage = (coverage > 0.5).astype(float)
    if tool in ("pencil", "chalk"):
        coarse = rng.normal(0, 1, (height // 2 + 1, width // 2 + 1)).repeat(2, 0).repeat(2, 1)
        coverage = coverage * (0.75 + 0.3 * coarse[:height, :width]).clip(0.15, 1)
    return _finished(tool, ground, coverage, rng)


def _width(tool: str, rng: Generator) -> float:
    """A random stroke width for the tool, as a fraction of the side that the drawing takes."""
    low, high = {"marker": (0.07, 0.16), "chalk": (0.04, 0.1)}.get(tool, (0.015, 0.06))
    return float(rng.uniform(low, high))


def _finished(tool: str, ground: str, coverage: Floats, rng: Generator) -> bytes:
    """Draw the tool's ink on the ground where `coverage` is not 0, and encode it as a file."""
    height, width = coverage.shape
    ink = {
        "mouse": rng.choice([0, 0, 255]) * np.ones(3),
        "pen": np.array([[25, 30, 110], [25, 25, 25], [150, 30, 35]])[rng.integers(3)],
        "pencil": np.ones(3) * rng.uniform(70, 125),
        "chalk": rng.uniform(200, 255) * np.array([1, rng.uniform(0.85, 1), rng.uniform(0.7, 1)]),
        "marker": rng.uniform(0, 230, 3) * np.roll([1, 1, 0.1], rng.integers(3)),
    }[tool]
    if ground == "transparent canvas":
        layer = np.concatenate(
            [np.broadcast_to(ink, (height, width, 3)), 255 * coverage[..., None]], 2
        )
        return png(Image.fromarray(layer.clip(0, 255).astype(np.uint8)))
    light = (250 - rng.uniform(0, 40)) * np.array([1, rng.uniform(0.95, 1), rng.uniform(0.88, 1)])
    board = np.array([[30, 60, 45], [35, 35, 38], [20, 20, 20]])[rng.integers(3)]
    is_board = tool == "chalk" or (tool == "mouse" and ink[0] > 0)
    sheet = np.broadcast_to(board if is_board else light, (height, width, 3)).astype(float)
    if ground in ("squared paper", "lined paper"):
        sheet = _ruled(sheet, ground == "squared paper", rng)
    sheet = sheet + (ink - sheet) * coverage[..., None]
    if ground != "photographed" and tool in ("mouse", "marker"):
        return png(Image.fromarray(sheet.clip(0, 255).astype(np.uint8)))
    down, across = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    slope = rng.uniform(-0.15, 0.15, 2) if ground == "photographed" else rng.uniform(-0.03, 0.03, 2)
    sheet = sheet * (0.9 + slope[0] * across + slope[1] * down)[..., None]
    sheet = sheet + rng.normal(0, rng.uniform(1, 6), (height, width, 1))
    picture = Image.fromarray(sheet.clip(0, 255).astype(np.uint8))
    if ground == "photographed":
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2)))
    return jpeg(picture, int(rng.integers(70, 95)))


def _ruled(sheet: Floats, squared: bool, rng: Generator) -> Floats:
    height, width, _ = sheet.shape
    step = int(rng.integers(14, 30))
    lines = np.zeros((height, width))
    lines[int(rng.integers(step)) :: step] = 1
    if squared:
        lines[:, int(rng.integers(step)) :: step] = 1
    shade = rng.uniform(0.75, 0.9) * np.array([0.92, 0.97, 1.0])
    return np.asarray(sheet * (1 - lines[..., None] * (1 - shade)))


def _scenes(draw: Callable[[str, str, int, Generator], bytes]) -> dict[str, Scene]:
    tools = {f"{tool}": partial(draw, tool, "plain") for tool in TOOLS}

    def on(ground: str) -> Scene:
        choice = TOOLS if ground == "transparent canvas" else TOOLS[1:3] + TOOLS[4:]
        return lambda target, rng: draw(str(rng.choice(choice)), ground, target, rng)

    return tools | {ground: on(ground) for ground in GROUNDS}


TUNING = _scenes(_pillow)
HELD_OUT = _scenes(_distances)
