"""Framing answers any picture, with a subject in it or without: it fails on none."""

import warnings

import numpy as np
import pytest
from PIL import Image, ImageDraw

from models.images.framing import RULES, framed

SIDES = (1, 2, 3, 5, 8, 28, 96, 144, 145, 300, 640)


def bent(picture: np.ndarray, generator: np.random.Generator) -> None:
    """A fold: from one column on the sheet is a little lighter or darker."""
    picture[:, generator.integers(picture.shape[1]) :] += generator.integers(-40, 40)


def cut(picture: np.ndarray, generator: np.random.Generator) -> None:
    picture[generator.integers(picture.shape[0]) :] += generator.integers(-255, 255)


def noisy(picture: np.ndarray, generator: np.random.Generator) -> None:
    picture += generator.integers(-128, 128, picture.shape)


def dotted(picture: np.ndarray, generator: np.random.Generator) -> None:
    picture[tuple(generator.integers(picture.shape[:2]))] = generator.integers(256)


def shaded(picture: np.ndarray, generator: np.random.Generator) -> None:
    slope = np.linspace(0, generator.integers(1, 255), picture.shape[1])
    picture += slope[None, :, None].astype(np.int64)


def speckled(picture: np.ndarray, generator: np.random.Generator) -> None:
    is_speck = generator.random(picture.shape[:2]) < 0.2 * generator.random()
    picture[is_speck] = generator.integers(0, 256, 3)


def edged(picture: np.ndarray, generator: np.random.Generator) -> None:
    picture[:2], picture[-2:] = generator.integers(0, 256, (2, 3))


def lined(picture: np.ndarray, generator: np.random.Generator) -> None:
    image = Image.fromarray(picture.clip(0, 255).astype(np.uint8))
    pen, far = ImageDraw.Draw(image), max(image.size) + 5
    for _ in range(generator.integers(1, 5)):
        ends = [tuple(generator.integers(-5, far, 2).tolist()) for _ in range(2)]
        pen.line(ends, tuple(generator.integers(0, 256, 3).tolist()), int(generator.integers(1, 9)))
    picture[:] = np.asarray(image)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "draw", [bent, cut, noisy, dotted, shaded, speckled, edged, lined], ids=lambda f: f.__name__
)
def test_it_fails_on_none(rule: str, draw: object) -> None:
    generator = np.random.default_rng(0)
    for _ in range(12):
        width, height = generator.choice(SIDES, 2).tolist()
        picture = np.full((height, width, 3), generator.integers(256), np.int64)
        draw(picture, generator)  # type: ignore[operator]
        image = Image.fromarray(picture.clip(0, 255).astype(np.uint8))
        for each in (image, image.convert("L")):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                found = framed(each, RULES[rule], (28, 28))
            assert found is None or found.pixels.shape == (28, 28)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("size", [(640, 1), (1, 640)])
def test_black_on_black_is_nothing(rule: str, size: tuple[int, int]) -> None:
    image = Image.new("RGB", size)
    image.putpixel((size[0] // 2, size[1] // 2), (9, 0, 0))
    assert framed(image, RULES[rule], (28, 28)) is None


@pytest.mark.parametrize("rule", ["digits", "clothes"])
@pytest.mark.parametrize(("dot", "is_seen"), [(1, False), (2, False), (3, False), (8, True)])
@pytest.mark.parametrize("size", [60, 144])
def test_a_few_pixels_are_no_subject(rule: str, dot: int, is_seen: bool, size: int) -> None:
    image = Image.new("L", (size, size))
    image.paste(255, (30, 20, 30 + dot, 20 + dot))
    assert (framed(image, RULES[rule], (28, 28)) is not None) == is_seen
