"""The image that a map is made of: its own size, as far as window and limits allow."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from models.convolutional import picture
from models.images import scaling
from models.preprocessing import FramingRule, InputSpec, decode
from tests.networks import DATA
from tests.networks import picture as drawn

SPEC = InputSpec(channels=3, height=16, width=16)
GREY = InputSpec(
    channels=1, height=28, width=28, framing=FramingRule(subject="strokes", fill=20 / 28)
)


def cheap(height: int, width: int) -> bool:
    return height * width <= 64 * 64


@pytest.mark.parametrize(
    ("size", "found", "said"),
    [
        ((16, 16), (16, 16), ""),
        ((40, 21), (40, 21), ""),
        ((8, 8), (16, 16), "enlarged from 8 × 8 to 16 × 16 pixels"),
        ((8, 20), (16, 40), "enlarged from 8 × 20 to 16 × 40"),
        ((1, 1), (16, 16), "enlarged from 1 × 1"),
        ((200, 100), (86, 43), "made smaller, from 200 × 100 to 86 × 43"),
    ],
)
def test_sizes(size: tuple[int, int], found: tuple[int, int], said: str) -> None:
    prepared = picture.prepared(drawn(0, size), SPEC, cheap)
    assert prepared.size == found[::-1]
    assert prepared.box == (0, 0, 1, 1)
    assert said in " ".join(prepared.changes)
    assert bool(prepared.changes) == bool(said)


@pytest.mark.parametrize("size", [(10_000, 1), (1, 10_000), (3000, 14)])
def test_of_a_very_long_image_the_middle_is_taken(size: tuple[int, int]) -> None:
    prepared = picture.prepared(Image.new("RGB", size), SPEC, cheap)
    height, width = prepared.size
    assert min(height, width) >= 16
    assert cheap(height, width)
    left, top, right, bottom = prepared.box
    assert (left + right) / 2 == pytest.approx(0.5, abs=0.05)
    assert (top + bottom) / 2 == pytest.approx(0.5, abs=0.05)
    assert min(right - left, bottom - top) < 0.7
    middle, enlarged = prepared.changes
    assert middle.startswith("Only the middle")
    assert enlarged.endswith(f" to {width} × {height} pixels, so that the input fits.")


def test_the_window_is_always_affordable() -> None:
    prepared = picture.prepared(drawn(0, (300, 300)), SPEC, lambda height, width: False)
    assert prepared.size == (16, 16)


def test_pixels_are_those_of_the_prediction_at_the_input_size() -> None:
    image = drawn(0, (16, 16))
    np.testing.assert_array_equal(picture.prepared(image, SPEC, cheap).pixels, SPEC.array(image))
    grey = InputSpec(channels=1, height=16, width=16)
    np.testing.assert_array_equal(picture.prepared(image, grey, cheap).pixels, grey.array(image))


def test_an_image_of_the_own_size_is_that_of_a_prediction() -> None:
    digit = decode((DATA / "digits" / "7.png").read_bytes())
    noise = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    for image in (digit, ImageOps.invert(digit.convert("L")), Image.fromarray(noise)):
        prepared = picture.prepared(image, GREY, cheap)
        pixels, box = scaling.scaled_with_box(image, GREY)
        np.testing.assert_array_equal(prepared.pixels, pixels)
        assert prepared.box == tuple(each / 28 for each in box)
        assert "framed as for a prediction" in " ".join(prepared.changes)


def test_a_larger_image_is_light_on_dark() -> None:
    digit = decode((DATA / "digits" / "7.png").read_bytes()).convert("L")
    wide = ImageOps.expand(digit, (0, 0, 28, 0))
    for shown in (wide, ImageOps.invert(wide)):
        prepared = picture.prepared(shown, GREY, cheap)
        np.testing.assert_array_equal(prepared.pixels[0], np.asarray(wide))
        assert "framing rule is not followed" in " ".join(prepared.changes)
    assert "Light and dark are exchanged." in " ".join(prepared.changes)


def test_the_ground_of_a_photographed_sheet_becomes_black() -> None:
    levels = np.full((60, 60), 200, np.uint8)
    levels += np.random.default_rng(0).integers(0, 8, levels.shape, np.uint8)
    levels[20:40, 28:32] = 40
    pixels = picture.prepared(Image.fromarray(levels), GREY, cheap).pixels[0]
    assert np.median(pixels) == 0
    assert pixels[20:40, 28:32].min() > 230
