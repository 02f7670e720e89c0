"""The scenes for reported figures: a camera looks at a plane on which a data set's image lies.

Written independently of `tuning`: every pixel of the photograph is traced back to the plane, where
the image is sampled, and light, blur, and the sensor's noise are computed on arrays.
Each scene takes an image, uint8 (28, 28), light on dark, and a generator; it returns a file.
"""

from functools import partial

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from benchmarks.as_taken.family import Family, Grey
from benchmarks.as_taken.files import jpeg, png

Floats = NDArray[np.floating]


class Plane:
    """A plane as a camera of (height, width) pixels sees it.

    `x` and `y` (height, width) are the point of the plane that each pixel shows. The subject lies
    in [0, 1] × [0, 1].
    """

    def __init__(
        self, height: int, width: int, side: float, rng: Generator, tilt: float = 0, turn: float = 0
    ) -> None:
        left = rng.uniform(0, width - side) if width > side else (width - side) / 2
        top = rng.uniform(0, height - side) if height > side else (height - side) / 2
        self.trace(height, width, side, (left, top), rng, tilt, turn)

    def trace(
        self,
        height: int,
        width: int,
        side: float,
        corner: tuple[float, float],
        rng: Generator,
        tilt: float,
        turn: float,
    ) -> None:
        down, across = np.mgrid[0:height, 0:width].astype(np.float32) + 0.5
        x, y = (across - corner[0]) / side - 0.5, (down - corner[1]) / side - 0.5
        lean = rng.uniform(-tilt, tilt, 2)
        depth = 1 + lean[0] * x * side / width + lean[1] * y * side / height
        x, y = x / depth, y / depth
        angle = np.radians(rng.uniform(-turn, turn))
        self.x = np.cos(angle) * x + np.sin(angle) * y + 0.5
        self.y = np.cos(angle) * y - np.sin(angle) * x + 0.5
        self.pixel = 1 / side

    def sample(self, image: Grey) -> Floats:
        """Sample the image bilinearly at each pixel, 0 to 1; 0 outside the image."""
        framed = np.pad(image.astype(np.float32) / 255, 1)
        column = (self.x * image.shape[1] + 0.5).clip(0, image.shape[1] + 0.999)
        row = (self.y * image.shape[0] + 0.5).clip(0, image.shape[0] + 0.999)
        left, top = column.astype(int), row.astype(int)
        right, low = column - left, row - top
        upper = framed[top, left] * (1 - right) + framed[top, left + 1] * right
        lower = framed[top + 1, left] * (1 - right) + framed[top + 1, left + 1] * right
        return np.asarray(upper * (1 - low) + lower * low)

    def stroke(self, image: Grey) -> Floats:
        """Sample the image as if a pen had drawn it: coverage with crisp edges, 0 to 1."""
        smooth = np.asarray(
            Image.fromarray(image).resize((168, 168), Image.Resampling.LANCZOS), np.uint8
        )
        return np.asarray(((self.sample(smooth) - 0.28) / 0.3).clip(0, 1))

    def light(self, rng: Generator, strength: float) -> Floats:
        """Return the brightness of each pixel under a lamp at one side and a soft shadow."""
        far = np.hypot(self.x - rng.uniform(-2, 3), self.y - rng.uniform(-2, 3))
        lamp = 1 - strength * (far - far.min()) / max(float(np.ptp(far)), 1e-9)
        angle = rng.uniform(0, 2 * np.pi)
        edge = np.cos(angle) * self.x + np.sin(angle) * self.y - rng.uniform(0, 1)
        shadow = rng.uniform(0, strength / 2) / (1 + np.exp(-edge / rng.uniform(0.2, 0.6)))
        return np.asarray(lamp * (1 - shadow))


def as_it_is(image: Grey, _: Generator) -> bytes:
    return png(Image.fromarray(image))


def black_on_white(image: Grey, rng: Generator) -> bytes:
    if rng.random() < 0.5:
        return png(Image.fromarray(255 - image))
    side = int(rng.integers(40, 500))
    return png(_picture(1 - Plane(side, side, side, rng).sample(image)))


def ink_on_paper(image: Grey, rng: Generator, printed: bool = False) -> bytes:
    """Ink on photographed paper: drawn as lines with crisp edges, or `printed` in all shades."""
    height, width = (384, 512) if rng.random() < 0.4 else (512, 384)
    plane = Plane(height, width, rng.uniform(0.25, 0.7) * 384, rng, tilt=0.25, turn=4)
    ink = (plane.sample(image) if printed else plane.stroke(image)) * rng.uniform(0.75, 1)
    paper = np.array([0.93, 0.92, 0.87]) * rng.uniform(0.75, 1.02)
    colour = np.array([[0.1, 0.1, 0.12], [0.12, 0.16, 0.42], [0.25, 0.25, 0.26]])[rng.integers(3)]
    return _camera(_mixed(paper, colour, ink) * plane.light(rng, 0.35)[..., None], rng)


def third_of_the_sheet(image: Grey, rng: Generator) -> bytes:
    side = int(rng.integers(84, 480))
    return png(_picture(Plane(side, side, side * rng.uniform(0.3, 0.36), rng).sample(image)))


def near_the_top(image: Grey, rng: Generator) -> bytes:
    width = int(rng.integers(160, 360))
    height = int(width * rng.uniform(1.3, 2.2))
    side = width * rng.uniform(0.35, 0.75)
    plane = Plane(height, width, side, rng)
    plane.y = plane.y - plane.y.min() - rng.uniform(0, 0.2)
    return png(_picture(1 - rng.uniform(0.8, 1) * plane.sample(image)))


def transparent_canvas(image: Grey, rng: Generator) -> bytes:
    side = int(rng.integers(28, 500))
    plane = Plane(side, side, side * rng.uniform(0.45, 1), rng)
    alpha = plane.stroke(image) if rng.random() < 0.5 else plane.sample(image)
    levels = np.full((side, side, 4), 255.0)
    if rng.random() < 0.5:
        levels[alpha == 0] = 0
    levels[..., 3] = 255 * alpha
    return png(Image.fromarray(levels.round().astype(np.uint8)))


def small_on_a_large_sheet(image: Grey, rng: Generator) -> bytes:
    plane = Plane(1000, 1000, rng.uniform(80, 250), rng)
    picture = _picture(1 - rng.uniform(0.7, 1) * plane.sample(image))
    return png(picture) if rng.random() < 0.5 else jpeg(picture, 85)


def marker_on_squared_paper(image: Grey, rng: Generator) -> bytes:
    height, width = (384, 512) if rng.random() < 0.5 else (512, 384)
    side = rng.uniform(0.3, 0.75) * 384
    photographed = rng.random() < 0.6
    plane = Plane(height, width, side, rng, *((0.2, 5) if photographed else (0, 0)))
    step = rng.uniform(0.05, 0.16)
    away = np.minimum(
        np.abs((plane.x / step + 0.3) % 1 - 0.5), np.abs((plane.y / step + 0.7) % 1 - 0.5)
    )
    lines = (1.3 - away * step / plane.pixel).clip(0, 1) * rng.uniform(0.3, 1)
    sheet = _mixed(np.array([0.97, 0.97, 0.95]), np.array([0.62, 0.72, 0.86]), lines)
    hues = np.array([[0.85, 0.1, 0.15], [0.1, 0.3, 0.8], [0.05, 0.55, 0.3], [0.5, 0.1, 0.6]])
    sheet = sheet * (1 - plane.stroke(image)[..., None] * (1 - hues[rng.integers(4)]))
    if not photographed:
        return png(_picture(sheet))
    return _camera(sheet * plane.light(rng, 0.25)[..., None], rng)


def beside_the_table(image: Grey, rng: Generator) -> bytes:
    height, width = (384, 512) if rng.random() < 0.5 else (512, 384)
    plane = Plane(height, width, 10, rng)
    side = rng.uniform(0.3, 0.45) * 384
    corner = ((width - side) * rng.uniform(0.35, 0.65), (height - side) * rng.uniform(0.35, 0.65))
    plane.trace(height, width, side, corner, rng, 0.2, 6)
    edge = 0.5 + rng.uniform(0.75, 0.9, 4)
    inside = [plane.x + edge[0] - 0.5, 0.5 + edge[1] - plane.x]
    inside += [plane.y + edge[2] - 0.5, 0.5 + edge[3] - plane.y]
    sheet = (np.minimum.reduce(inside) / plane.pixel).clip(0, 1)
    table = np.array([[0.35, 0.24, 0.15], [0.2, 0.2, 0.22], [0.5, 0.4, 0.3]])[rng.integers(3)]
    levels = _mixed(np.array([0.92, 0.92, 0.9]), np.array([0.12, 0.12, 0.2]), plane.stroke(image))
    levels = table + (levels - table) * sheet[..., None]
    return _camera(levels * plane.light(rng, 0.25)[..., None], rng)


def on_a_desk(image: Grey, rng: Generator) -> bytes:
    height, width = (384, 512) if rng.random() < 0.5 else (512, 384)
    plane = Plane(height, width, rng.uniform(0.5, 0.85) * 384, rng, tilt=0.15, turn=4)
    desk = _desk(plane, rng)
    cloth = 1 - plane.sample(image)
    body = (6 * plane.sample(_body(image))).clip(0, 1)
    tint = rng.uniform(0.85, 1, 3)
    return _camera(
        _mixed(desk, cloth[..., None] * tint, body) * plane.light(rng, 0.3)[..., None], rng
    )


def product_on_white(image: Grey, rng: Generator) -> bytes:
    height = int(rng.integers(240, 600))
    width = int(height * rng.uniform(0.66, 1.34))
    side = min(height, width) * rng.uniform(0.5, 0.97)
    plane = Plane(height, width, 10, rng)
    plane.trace(height, width, side, ((width - side) / 2, (height - side) / 2), rng, 0, 0)
    cloth = (1 - plane.sample(image))[..., None] * rng.uniform(0.8, 1, 3)
    body = (6 * plane.sample(_body(image))).clip(0, 1)
    foot = np.exp(-(((plane.y - 1.0) / 0.05) ** 2) - ((plane.x - 0.5) / 0.4) ** 2)
    ground = np.ones(3) * (1 - rng.uniform(0, 0.12) * foot)[..., None]
    return jpeg(_picture(_mixed(ground, cloth, body)), int(rng.integers(60, 96)))


def _body(image: Grey) -> Grey:
    """Fill the holes of a piece of clothing: pixels enclosed both in their row and column."""
    solid = image > 6
    rows = np.maximum.accumulate(solid, 1) & np.maximum.accumulate(solid[:, ::-1], 1)[:, ::-1]
    columns = np.maximum.accumulate(solid, 0) & np.maximum.accumulate(solid[::-1], 0)[::-1]
    return np.where(solid | (rows & columns), 255, 0).astype(np.uint8)


def _desk(plane: Plane, rng: Generator) -> Floats:
    """Draw wooden boards, a plain table top or woven cloth as a ground; colours (H, W, 3)."""
    colours = np.array(
        [[0.62, 0.45, 0.3], [0.75, 0.66, 0.52], [0.42, 0.31, 0.24], [0.6, 0.6, 0.62]]
    )
    colour = colours[rng.integers(4)]
    kind = rng.integers(3)
    if kind == 0:
        rings = plane.y * rng.uniform(8, 20) + np.sin(plane.x * rng.uniform(1, 4)) * 1.5
        pattern = np.sin(2 * np.pi * rings) * 0.5 + np.sin(5.3 * rings) * 0.5
    elif kind == 1:
        pattern = np.zeros_like(plane.x)
    else:
        pattern = np.sin(plane.x * 150) * np.sin(plane.y * 150)
    return np.asarray(colour * (1 + rng.uniform(0.02, 0.1) * pattern[..., None]))


def _mixed(under: Floats, over: Floats, coverage: Floats) -> Floats:
    return np.asarray(under + (over - under) * coverage[..., None])


def _picture(levels: Floats) -> Image.Image:
    return Image.fromarray((255 * levels.clip(0, 1)).round().astype(np.uint8))


def _camera(scene: Floats, rng: Generator) -> bytes:
    """The scene as a camera saves it: white balance, defocus, shot noise, tone curve and JPEG."""
    scene = scene * rng.uniform(0.94, 1.06, 3)
    blurred = _picture(scene)
    for _ in range(2):  # a box twice: nearly a lens out of focus
        blurred = blurred.filter(ImageFilter.BoxBlur(rng.uniform(0, 2)))
    scene = np.asarray(blurred, np.float32) / 255
    noise = rng.standard_normal((*scene.shape[:2], 1), np.float32)
    scene = scene + rng.uniform(0.005, 0.03) * np.sqrt(scene.clip(0.02, 1)) * noise
    return jpeg(
        _picture(scene.clip(0, 1) ** np.float32(rng.uniform(0.85, 1.15))), int(rng.integers(55, 93))
    )


FAMILY = Family(
    as_it_is=as_it_is,
    black_on_white=black_on_white,
    drawn=ink_on_paper,
    printed=partial(ink_on_paper, printed=True),
    third_of_the_sheet=third_of_the_sheet,
    near_the_top=near_the_top,
    transparent_canvas=transparent_canvas,
    small_on_a_large_sheet=small_on_a_large_sheet,
    marker_on_squared_paper=marker_on_squared_paper,
    beside_the_table=beside_the_table,
    on_a_desk=on_a_desk,
    product_on_white=product_on_white,
)
