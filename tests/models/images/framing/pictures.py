"""A digit in its frame, and the same one as people take it."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SIDE = 28
Pixels = NDArray[np.uint8]
Shade = int | tuple[int, int, int]


def seven(side: int = SIDE) -> Image.Image:
    """A 7 as MNIST frames digits: light on black, 20/28 long, its centre of mass in the middle."""
    scale = 16
    large = Image.new("L", (28 * scale, 28 * scale))
    pen = ImageDraw.Draw(large)
    points = [(x * scale, y * scale) for x, y in ((8.8, 6.4), (19.3, 6.4), (12.6, 24.4))]
    pen.line(points, fill=255, width=2 * scale, joint="curve")
    for x, y in points:
        pen.ellipse((x - scale, y - scale, x + scale, y + scale), fill=255)
    levels = np.asarray(large, float)
    rows, columns = (np.arange(28 * scale) + 0.5 for _ in range(2))
    off = [levels.sum(1) @ rows, levels.sum(0) @ columns] / levels.sum() - 14.5 * scale
    levels = np.roll(levels, (-off).round().astype(int), (0, 1))
    return Image.fromarray(levels.astype(np.uint8)).resize((side, side), Image.Resampling.BOX)


def laid(
    size: tuple[int, int], corner: tuple[int, int], side: int, ink: Shade, ground: Shade
) -> Image.Image:
    """The 7, `side` pixels of frame, on a sheet of that (width, height)."""
    mode = "RGB" if isinstance(ground, tuple) else "L"
    sheet = Image.new(mode, size, ground)
    box = (*corner, corner[0] + side, corner[1] + side)
    sheet.paste(ink, box, seven(side))
    return sheet


def likeness(found: Pixels, wanted: Image.Image) -> float:
    """The correlation of two pictures of the same size, at most 1."""
    return float(np.corrcoef(found.ravel(), np.asarray(wanted).ravel())[0, 1])
