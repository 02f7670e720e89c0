"""Copies are found by their pixels, near copies by what is special about them."""

import io
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageEnhance
from torch import Tensor

from models.preprocessing import InputSpec
from training.data import datasets
from training.review import copies

SPEC = InputSpec(channels=3, height=32, width=32)


def scene(seed: int) -> Image.Image:
    """A picture of its own: some coloured shapes on a gradient."""
    numbers = np.random.default_rng(seed)
    image = Image.fromarray(numbers.integers(0, 255, (4, 4, 3), dtype=np.uint8))
    image = image.resize((128, 128), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y, size = numbers.integers(0, 100, 3)
        draw.ellipse((x, y, x + size, y + size), fill=tuple(numbers.integers(0, 255, 3)))
    return image


def jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=50)
    return Image.open(buffer)


def stacked(*images: Image.Image) -> Tensor:
    return torch.stack([SPEC.pixels(image) for image in images])


@pytest.fixture(scope="module")
def scenes() -> list[Image.Image]:
    return [scene(seed) for seed in range(60)]


def test_equal_pixels() -> None:
    images = torch.randint(0, 255, (6, 3, 4, 4), dtype=torch.uint8)
    images[4], images[5], images[3] = images[1], images[1], images[0]
    assert copies.exact(images) == [[0, 3], [1, 4, 5]]


def test_one_level_makes_another_picture() -> None:
    images = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    images[1, 0, 0, 0] = 1
    assert copies.exact(images) == []


@pytest.mark.parametrize(
    "changed",
    [
        jpeg,
        lambda image: image.resize((50, 50)),
        lambda image: ImageEnhance.Brightness(image).enhance(0.85),
        lambda image: image.crop((1, 1, 127, 127)),
        lambda image: image.convert("L").convert("RGB"),
        *(partial(Image.Image.transpose, method=each) for each in Image.Transpose),
        lambda image: jpeg(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    ],
    ids=[
        *("saved as JPEG", "smaller", "darker", "cropped", "grey"),
        *(each.name for each in Image.Transpose),
        "mirrored and saved",
    ],
)
def test_near_copies(scenes: list[Image.Image], changed: object) -> None:
    assert callable(changed)
    images = stacked(*scenes, *(changed(image) for image in scenes[:10]))
    assert copies.near(images) == [[i, 60 + i] for i in range(10)]


def test_different_pictures_are_no_copies(scenes: list[Image.Image]) -> None:
    assert copies.near(stacked(*scenes)) == []


def test_another_colour_is_another_picture(scenes: list[Image.Image]) -> None:
    red, green, blue = scenes[0].split()
    images = stacked(*scenes, Image.merge("RGB", (blue, red, green)))
    assert copies.near(images) == []


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_pictures(count: int, scenes: list[Image.Image]) -> None:
    images = torch.zeros(0, 3, 32, 32, dtype=torch.uint8)
    images = torch.cat([images, stacked(*scenes[:1], *map(jpeg, scenes[:1]), scenes[1])[:count]])
    assert copies.near(images) == ([[0, 1]] if count >= 2 else [])


def test_strokes_that_all_look_alike_are_no_copies() -> None:
    """What most pictures share counts for little: handwritten ones are all near each other."""
    numbers = np.random.default_rng(0)
    images = []
    for _ in range(300):
        image = Image.new("L", (28, 28))
        x, lean = 14 + numbers.normal(0, 1), numbers.normal(0, 3)
        ends = (x - lean, 4 + numbers.normal(), x + lean, 24 + numbers.normal())
        ImageDraw.Draw(image).line(ends, fill=255, width=int(numbers.integers(2, 5)))
        images.append(np.array(image)[None])
    groups = copies.near(torch.from_numpy(np.stack(images)))
    assert sum(map(len, groups)) < 30


def test_a_film_is_one_group(scenes: list[Image.Image]) -> None:
    """Of many pictures that look alike each is compared with some only, and all are found."""
    film = stacked(scenes[0]).repeat(500, 1, 1, 1)
    noise = torch.randint(0, 3, film.shape, dtype=torch.uint8)
    groups = copies.near(torch.cat([stacked(*scenes[1:]), (film // 2) + noise]))
    assert groups == [list(range(59, 559))]


def test_a_picture_in_all_orientations_is_one_group(scenes: list[Image.Image]) -> None:
    turned = [scenes[0], *(scenes[0].transpose(each) for each in Image.Transpose)]
    assert copies.near(stacked(*turned, *scenes[1:])) == [list(range(8))]


def test_a_symmetrical_picture_is_no_copy_of_itself(scenes: list[Image.Image]) -> None:
    whole = Image.new("RGB", (256, 256))
    for turn, place in zip(
        (None, *Image.Transpose), ((0, 0), (128, 0), (0, 128), (128, 128)), strict=False
    ):
        whole.paste(scenes[0] if turn is None else scenes[0].transpose(turn), place)
    assert copies.near(stacked(whole, *scenes[1:])) == []


def test_pictures_of_one_group_are_not_compared_again(
    scenes: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of 24 tables of keys has most of the pairs of a film."""
    compared: list[int] = []
    own = copies.are_alike

    def counted(pairs: Any, *arguments: Any) -> Any:
        compared.append(len(pairs))
        return own(pairs, *arguments)

    monkeypatch.setattr(copies, "are_alike", counted)
    test_a_film_is_one_group(scenes)
    assert sum(compared) < 3 * 559


def test_pairs_are_joined_to_groups() -> None:
    groups = copies.Groups(9)
    groups.join(np.array([(5, 1), (1, 3), (2, 6), (8, 7), (7, 6)]))
    assert groups.lists() == [[1, 3, 5], [2, 6, 7, 8]]
    assert groups.are_apart(np.array([(3, 5), (3, 8)])).tolist() == [False, True]


@pytest.mark.data
def test_digits_are_no_copies_of_each_other(data_root: Path) -> None:
    digits = datasets.load("mnist", "test", data_root, InputSpec(channels=1, height=28, width=28))
    assert copies.exact(digits.images) == copies.near(digits.images) == []
