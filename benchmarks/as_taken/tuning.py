"""Scenes to tune on: a data set's image, light on dark, drawn anew with Pillow.

Each scene takes an image, uint8 (28, 28), and a generator, and returns an encoded file.
"""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from benchmarks.as_taken.family import Family, Grey
from benchmarks.as_taken.files import jpeg, png

Colour = tuple[int, int, int]
_BICUBIC = Image.Resampling.BICUBIC


def as_it_is(image: Grey, _: Generator) -> bytes:
    return png(Image.fromarray(image))


def black_on_white(image: Grey, rng: Generator) -> bytes:
    side = int(rng.choice([28, 28, 56, 140, 280]))
    return png(Image.fromarray(255 - image).resize((side, side), _BICUBIC))


def ink_on_paper(image: Grey, rng: Generator) -> bytes:
    """Ink, photographed: uneven light, a slight perspective, blur, noise, JPEG."""
    shade = int(rng.integers(185, 245))
    paper = (shade, shade - int(rng.integers(0, 8)), shade - int(rng.integers(0, 22)))
    ink = tuple(int(value) for value in rng.integers(10, 80, 3))
    size = (800, 600) if rng.random() < 0.5 else (600, 800)
    sheet = Image.new("RGB", size, paper)
    _set(sheet, image, int(rng.uniform(0.3, 0.65) * 600), (ink[0], ink[1], ink[2]), rng)
    return _photographed(sheet, rng, paper)


def third_of_the_sheet(image: Grey, rng: Generator) -> bytes:
    """White on black, a third of the sheet."""
    side = int(rng.integers(180, 420))
    part = round(side * rng.uniform(0.28, 0.38))
    sheet = Image.new("L", (side, side))
    place = rng.integers(0, side - part, 2)
    sheet.paste(_enlarged(image, part), (int(place[0]), int(place[1])))
    return png(sheet)


def near_the_top(image: Grey, rng: Generator) -> bytes:
    """A portrait sheet, black on white, drawn near the top."""
    width = int(rng.integers(240, 420))
    height = round(width * rng.uniform(1.3, 1.8))
    sheet = Image.new("L", (width, height), 255)
    part = round(width * rng.uniform(0.4, 0.8))
    corner = (int(rng.integers(0, width - part)), int(rng.integers(0, max(1, height // 12))))
    sheet.paste(
        Image.new("L", (part, part), int(rng.integers(0, 40))), corner, _enlarged(image, part)
    )
    return png(sheet)


def transparent_canvas(image: Grey, rng: Generator) -> bytes:
    """White strokes on a transparent canvas."""
    side = int(rng.choice([28, 112, 280, 400]))
    part = side if side == 28 else round(side * rng.uniform(0.5, 1))
    canvas = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    corner = tuple(int(value) for value in rng.integers(0, side - part + 1, 2))
    strokes = Image.new("RGBA", (part, part), (255, 255, 255, 0))
    strokes.putalpha(_enlarged(image, part))
    canvas.paste(strokes, (corner[0], corner[1]))
    return png(canvas)


def small_on_a_large_sheet(image: Grey, rng: Generator) -> bytes:
    """Draw the image small and off centre, on a sheet of 1000×1000 pixels."""
    sheet = Image.new("L", (1000, 1000), 255)
    part = int(rng.integers(90, 220))
    corner = rng.integers(0, 1000 - part, 2)
    ink = Image.new("L", (part, part), int(rng.integers(0, 60)))
    sheet.paste(ink, (int(corner[0]), int(corner[1])), _enlarged(image, part))
    return png(sheet)


def marker_on_squared_paper(image: Grey, rng: Generator) -> bytes:
    """A coloured marker on squared paper."""
    size = (640, 480) if rng.random() < 0.5 else (480, 640)
    sheet = Image.new("RGB", size, (250, 250, 247))
    pen = ImageDraw.Draw(sheet)
    step, line = int(rng.integers(16, 34)), (170, 195, 225) if rng.random() < 0.6 else (205,) * 3
    for x in range(int(rng.integers(0, step)), size[0], step):
        pen.line((x, 0, x, size[1]), fill=line)
    for y in range(int(rng.integers(0, step)), size[1], step):
        pen.line((0, y, size[0], y), fill=line)
    colours = [(200, 30, 40), (30, 70, 190), (20, 130, 60), (120, 40, 140), (230, 110, 20)]
    _set(sheet, image, int(rng.uniform(0.3, 0.7) * 480), colours[rng.integers(5)], rng)
    return _photographed(sheet, rng, (240, 240, 240)) if rng.random() < 0.5 else png(sheet)


def beside_the_table(image: Grey, rng: Generator) -> bytes:
    """Ink on a sheet whose edge, and the table under it, are in the photograph."""
    shade = int(rng.integers(200, 245))
    table = tuple(int(value) for value in rng.integers(30, 130, 3))
    sheet = Image.new("RGB", (800, 600), (table[0], table[1], table[2]))
    edge = rng.integers(20, 90, 4)
    sheet.paste(
        (shade, shade, shade - 8),
        (int(edge[0]), int(edge[1]), 800 - int(edge[2]), 600 - int(edge[3])),
    )
    part = int(rng.integers(200, 320))
    corner = (int(rng.integers(110, 690 - part)), int(rng.integers(110, 490 - part)))
    sheet.paste((30, 30, 50), (*corner, corner[0] + part, corner[1] + part), _enlarged(image, part))
    return _photographed(sheet, rng, (table[0], table[1], table[2]))


def on_a_desk(image: Grey, rng: Generator) -> bytes:
    """Clothes on a desk, photographed."""
    size = (640, 480) if rng.random() < 0.5 else (480, 640)
    desk, plain = _wood(size, rng)
    part = int(rng.uniform(0.55, 0.9) * 480)
    corner = (int(rng.integers(0, size[0] - part)), int(rng.integers(0, size[1] - part)))
    mask = _silhouette(image, part)
    if rng.random() < 0.7:  # a shadow
        away = int(rng.integers(2, 9))
        soft = mask.filter(ImageFilter.GaussianBlur(6)).point(lambda value: value // 3)
        desk.paste((20, 15, 10), (corner[0] + away, corner[1] + away), soft)
    cloth = Image.fromarray(255 - image).resize((part, part), _BICUBIC).convert("RGB")
    desk.paste(cloth, corner, mask)
    return _photographed(desk, rng, plain)


def product_on_white(image: Grey, rng: Generator) -> bytes:
    """A product photograph on white."""
    width = int(rng.integers(300, 700))
    height = round(width * rng.uniform(0.75, 1.5))
    ground = int(rng.integers(243, 256))
    sheet = Image.new("RGB", (width, height), (ground,) * 3)
    part = round(min(width, height) * rng.uniform(0.55, 0.95))
    corner = ((width - part) // 2, (height - part) // 2)
    mask = _silhouette(image, part)
    soft = mask.filter(ImageFilter.GaussianBlur(part / 40)).point(lambda value: value // 6)
    sheet.paste((0, 0, 0), (corner[0], corner[1] + part // 60), soft)
    tint = rng.uniform(0.8, 1, 3) if rng.random() < 0.5 else np.ones(3)
    grey = np.asarray(Image.fromarray(255 - image).resize((part, part), _BICUBIC))
    sheet.paste(Image.fromarray((grey[..., None] * tint).astype(np.uint8)), corner, mask)
    return jpeg(sheet, int(rng.integers(70, 95)))


def _enlarged(image: Grey, side: int) -> Image.Image:
    return Image.fromarray(image).resize((side, side), _BICUBIC)


def _silhouette(image: Grey, side: int) -> Image.Image:
    """Return a mask: 255 on a piece of clothing, holes included, 0 elsewhere."""
    solid = Image.fromarray(np.where(image > 8, 255, 0).astype(np.uint8))
    framed = Image.new("L", (30, 30))
    framed.paste(solid, (1, 1))
    ImageDraw.floodfill(framed, (0, 0), 128)
    solid = framed.point(lambda value: 0 if value == 128 else 255).crop((1, 1, 29, 29))
    return solid.resize((side, side), _BICUBIC)


def _set(sheet: Image.Image, image: Grey, part: int, ink: Colour, rng: Generator) -> None:
    corner = [int(rng.integers(0, length - part)) for length in sheet.size]
    box = (corner[0], corner[1], corner[0] + part, corner[1] + part)
    sheet.paste(ink, box, _enlarged(image, part))


def _wood(size: tuple[int, int], rng: Generator) -> tuple[Image.Image, Colour]:
    """Draw a desk with grain along its width. Return it and its base colour."""
    base = np.array([[150, 110, 75], [190, 160, 120], [110, 80, 60], [205, 200, 190]])[
        rng.integers(4)
    ]
    grain = Image.fromarray(rng.integers(0, 256, (size[1], 8), dtype=np.uint8))
    grain = grain.resize(size, _BICUBIC).filter(ImageFilter.GaussianBlur(1))
    strength = rng.uniform(0.02, 0.12)
    levels = base * (1 + strength * (np.asarray(grain)[..., None] / 127.5 - 1))
    plain = (int(base[0]), int(base[1]), int(base[2]))
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8)), plain


def _photographed(sheet: Image.Image, rng: Generator, beyond: Colour) -> bytes:
    """Photograph a sheet: perspective, uneven light, blur, noise and JPEG.

    `beyond` is the colour outside the sheet.
    """
    width, height = sheet.size
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], float)
    seen = corners + rng.uniform(-0.04, 0.04, (4, 2)) * [width, height]
    sheet = sheet.transform(
        sheet.size,
        Image.Transform.PERSPECTIVE,
        _perspective(corners, seen),
        _BICUBIC,
        fillcolor=beyond,
    )
    sheet = sheet.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 2)))
    down, across = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 - rng.uniform(0.03, 0.22) * (1 + np.cos(angle) * across + np.sin(angle) * down) / 2
    light -= rng.uniform(0, 0.12) * (across**2 + down**2)
    levels = np.asarray(sheet) * light[..., None] + rng.normal(
        0, rng.uniform(1, 7), (height, width, 1)
    )
    return jpeg(Image.fromarray(levels.clip(0, 255).astype(np.uint8)), int(rng.integers(60, 95)))


def _perspective(to: NDArray[np.float64], source: NDArray[np.float64]) -> list[float]:
    """Pillow's eight coefficients that take the points `to` (4, 2) to the points `source`."""
    rows, values = [], []
    for (x, y), (u, v) in zip(to, source, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return [float(value) for value in np.linalg.solve(np.array(rows), np.array(values))]


FAMILY = Family(
    as_it_is=as_it_is,
    black_on_white=black_on_white,
    drawn=ink_on_paper,
    printed=ink_on_paper,
    third_of_the_sheet=third_of_the_sheet,
    near_the_top=near_the_top,
    transparent_canvas=transparent_canvas,
    small_on_a_large_sheet=small_on_a_large_sheet,
    marker_on_squared_paper=marker_on_squared_paper,
    beside_the_table=beside_the_table,
    on_a_desk=on_a_desk,
    product_on_white=product_on_white,
)
