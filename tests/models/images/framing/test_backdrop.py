"""Transparent pictures are laid on what shows their subject (`models.images.framing.backdrop`)."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from models.images.decoding import decode, read
from models.images.framing import RULES
from models.images.scaling import Frame
from tests.models.images.framing.pictures import likeness, seven

FRAME = Frame(1, 28, 28, "crop", rule=RULES["digits"])


def canvas(side: int, ink: tuple[int, int, int], behind: tuple[int, int, int] = (0, 0, 0)) -> bytes:
    """The 7 on a transparent canvas whose hidden colour is `behind`."""
    alpha = np.asarray(seven(side))
    colours = np.where(alpha[..., None] > 0, ink, behind)
    buffer = BytesIO()
    Image.fromarray(np.dstack([colours, alpha]).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("behind", [(0, 0, 0), (255, 255, 255)])
@pytest.mark.parametrize("ink", [(255, 255, 255), (0, 0, 0), (255, 230, 40), (30, 40, 160)])
@pytest.mark.parametrize("side", [28, 150])
def test_strokes_of_any_colour_are_seen(
    side: int, ink: tuple[int, int, int], behind: tuple[int, int, int]
) -> None:
    assert likeness(read(canvas(side, ink, behind), FRAME), seven()) > 0.93


def test_without_a_rule_the_ground_is_white() -> None:
    assert np.asarray(decode(canvas(28, (255, 255, 255)))).min() == 255
    assert read(canvas(28, (255, 255, 255)), Frame(1, 28, 28, "crop")).min() == 255


def test_a_few_pixels_of_a_large_canvas_are_enough() -> None:
    levels = np.zeros((500, 500, 4), np.uint8)
    levels[301:303, 201:260] = 255
    buffer = BytesIO()
    Image.fromarray(levels).save(buffer, "PNG")
    assert read(buffer.getvalue(), FRAME).max() == 255


def test_an_empty_canvas_is_taken() -> None:
    buffer = BytesIO()
    Image.new("RGBA", (100, 80)).save(buffer, "PNG")
    assert read(buffer.getvalue(), FRAME).shape == (1, 28, 28)


@pytest.mark.parametrize(("shade", "ground"), [(20, 255), (250, 127)])
def test_an_object_is_laid_on_what_shows_it(shade: int, ground: int) -> None:
    levels = np.zeros((60, 60, 4), np.uint8)
    levels[20:40, 20:40] = (shade, shade, shade, 255)
    buffer = BytesIO()
    Image.fromarray(levels).save(buffer, "PNG")
    assert np.asarray(decode(buffer.getvalue(), rule=RULES["clothes"]))[0, 0, 0] == ground
