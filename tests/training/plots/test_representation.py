"""A picture on its way to numbers."""

import numpy as np
from PIL import Image

from models.preprocessing import InputSpec
from tests.networks import picture
from tests.training.plots.drawn import Drawn, values
from training import plots


def test_the_steps_are_named_with_their_sizes(drawn: Drawn) -> None:
    plots.representation(picture(0, (60, 40)), "noise.png")
    assert list(drawn.panels) == [
        "as sent: 60 × 40 pixels, colour",
        "resized to 25 × 25: grey levels from 0 (black) to 255 (white)",
        "cropped: 40 × 40",
        "grey: 40 × 40",
    ]
    sent, numbers, cropped, grey = (values(axes) for axes in drawn.figure.axes)
    shapes = [each.shape for each in (sent, numbers, cropped, grey)]
    assert shapes == [(40, 60, 3), (25, 25), (40, 40, 3), (40, 40)]


def test_the_numbers_are_those_of_the_preprocessing(drawn: Drawn) -> None:
    image = picture(0, (60, 40))
    plots.representation(image, "noise.png")
    axes = drawn.figure.axes[1]
    expected = InputSpec(channels=1, height=25, width=25).pixels(image)[0].numpy()
    assert np.array_equal(values(axes), expected)
    assert [text.get_text() for text in axes.texts] == [str(level) for level in expected.ravel()]
    assert axes.images[0].get_clim() == (0, 255)


def test_large_pictures_are_drawn_smaller_and_told_at_their_size(drawn: Drawn) -> None:
    plots.representation(Image.new("L", (1300, 1200)), "large.png")
    assert "as sent: 1300 × 1200 pixels, grey" in drawn.panels
    assert values(drawn.panels["grey: 1200 × 1200"]).shape == (600, 600)


def test_a_single_pixel(drawn: Drawn) -> None:
    plots.representation(Image.new("L", (1, 1), 7), "pixel.png")
    assert set(values(drawn.figure.axes[1]).ravel()) == {7}
