"""A picture on its way to numbers."""

import numpy as np
import torch
from PIL import Image

from models.preprocessing import InputSpec
from tests.networks import picture
from tests.training.plots.drawn import Drawn, values
from training import plots
from training.data import corner
from training.data.corner import Corner


def at(image: Image.Image, row: int = 0, column: int = 0) -> Corner:
    pixels = torch.from_numpy(np.atleast_3d(np.array(image))).permute(2, 0, 1)
    spec = InputSpec.model_validate({"channels": len(pixels), "height": 1, "width": 1})
    return corner.cut(pixels, spec, row, column, "noise.png")


def draw(image: Image.Image, title: str = "noise.png") -> bytes:
    return plots.representation(image, title, at(image))


def test_the_steps_are_named_with_their_sizes(drawn: Drawn) -> None:
    draw(picture(0, (60, 40)))
    assert list(drawn.panels) == [
        "as sent: 60 × 40 pixels, colour",
        "resized to 25 × 25: grey levels from 0 (black) to 255 (white)",
        "cropped: 40 × 40",
        "grey: 40 × 40",
        "3×3 pixels at row 0, column 0 of",
        "red: levels,",
        "green: levels,",
        "blue: levels,",
    ]
    sent, numbers, cropped, grey = (values(axes) for axes in drawn.figure.axes[:4])
    shapes = [each.shape for each in (sent, numbers, cropped, grey)]
    assert shapes == [(40, 60, 3), (25, 25), (40, 40, 3), (40, 40)]


def test_the_numbers_are_those_of_the_preprocessing(drawn: Drawn) -> None:
    image = picture(0, (60, 40))
    draw(image)
    axes = drawn.figure.axes[1]
    expected = InputSpec(channels=1, height=25, width=25).pixels(image)[0].numpy()
    assert np.array_equal(values(axes), expected)
    assert [text.get_text() for text in axes.texts] == [str(level) for level in expected.ravel()]
    assert axes.images[0].get_clim() == (0, 255)


def test_large_pictures_are_drawn_smaller_and_told_at_their_size(drawn: Drawn) -> None:
    draw(Image.new("L", (1300, 1200)))
    assert "as sent: 1300 × 1200 pixels, grey" in drawn.panels
    assert values(drawn.panels["grey: 1200 × 1200"]).shape == (600, 600)


def test_a_single_pixel(drawn: Drawn) -> None:
    draw(Image.new("L", (1, 1), 7))
    assert set(values(drawn.figure.axes[1]).ravel()) == {7}


def test_a_corner_is_written_as_numbers_of_each_channel(drawn: Drawn) -> None:
    image = picture(0, (60, 40))
    plots.representation(image, "noise.png", at(image, 5, 7))
    for number, name in enumerate(("red", "green", "blue")):
        levels = np.array(image)[5:8, 7:10, number]
        written = [text.get_text() for text in drawn.panels[f"{name}: levels,"].texts]
        assert written == [f"{level}\n{level / 255:.4f}" for level in levels.ravel()]
    assert drawn.words_outside() == []


def test_a_grey_corner_has_one_table(drawn: Drawn) -> None:
    draw(Image.new("L", (30, 30), 51))
    assert [name for name in drawn.panels if name.endswith("levels,")] == ["grey: levels,"]
    assert drawn.panels["grey: levels,"].texts[0].get_text() == "51\n0.2000"
