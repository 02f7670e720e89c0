"""The drawing of a class map: a class has its colour wherever it wins."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from models.convolutional.class_map import ClassMap
from models.convolutional.picture import Picture
from training import plots

LABELS = ("airplane", "bird")
COLOURS = [(31, 119, 180), (255, 127, 14)]  # matplotlib's first two
OPACITY = 0.6


def drawn(winner: int, size: tuple[int, int]) -> Image.Image:
    """A black picture (height, width) in which one class wins everywhere."""
    rows, columns = size[0] - 7, size[1] - 7
    probabilities = torch.full((2, rows, columns), 0.25)
    probabilities[winner] = 0.75
    shown = Picture(np.zeros((3, *size), np.uint8), (0, 0, 1, 1), ())
    found = ClassMap(probabilities, (1, 1), (8, 8), shown)
    return Image.open(BytesIO(plots.class_map(found, LABELS, "a picture"))).convert("RGB")


@pytest.mark.parametrize("winner", [0, 1])
def test_a_class_keeps_its_colour(winner: int) -> None:
    pixels = np.asarray(drawn(winner, (8, 16)), np.int64)
    for number, colour in enumerate(COLOURS):
        shade = np.array([round(OPACITY * level) for level in colour])
        found = (np.abs(pixels - shade).max(-1) <= 1).sum()
        assert (found > 1000) == (number == winner)


@pytest.mark.parametrize("size", [(8, 400), (8, 80), (8, 16), (80, 8), (400, 8)])
def test_panels_are_as_large_as_there_is_room(size: tuple[int, int]) -> None:
    """Of a wide picture one stands below the other, each as wide as all of them."""
    image = drawn(0, size)
    coloured = np.asarray(image.convert("HSV"))[..., 1] > 100  # the map and the heat maps
    across, down = coloured.any(0).sum() / image.width, coloured.any(1).sum() / image.height
    assert (across if size[1] > size[0] else down) > 0.6
