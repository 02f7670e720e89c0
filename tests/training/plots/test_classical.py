"""Classical features of a picture, as they are drawn."""

import numpy as np
import pytest
from PIL import Image

from tests.cases import one_in
from tests.networks import picture
from tests.training.plots.drawn import Drawn, values
from training import plots

RED = Image.new("RGB", (20, 10), (200, 0, 30))


def test_colours_stand_apart(drawn: Drawn) -> None:
    plots.classical(RED, "red.png")
    shown = {name: values(drawn.panels[name])[0, 0].tolist() for name in ("red", "green", "blue")}
    assert shown == {"red": [200, 0, 0], "green": [0, 0, 0], "blue": [0, 0, 30]}


def test_histograms_count_pixels(drawn: Drawn) -> None:
    plots.classical(RED, "red.png")
    axes = drawn.panels["histograms of the channels"]
    counts = [patch.get_data().values for patch in axes.patches]  # type: ignore[attr-defined]
    assert [int(np.argmax(each)) for each in counts] == [200, 0, 30]
    assert [int(each.sum()) for each in counts] == [200, 200, 200]
    assert axes.get_yscale() == "log"


def test_gradients_have_one_scale_and_a_bar(drawn: Drawn) -> None:
    plots.classical(picture(0, (30, 20)), "noise.png")
    across, down, magnitude = (
        drawn.panels[name].images[0]
        for name in (
            "gradient to the right (Sobel)",
            "gradient downwards (Sobel)",
            "magnitude",
        )
    )
    low, high = across.get_clim()
    assert -low == high == magnitude.get_clim()[1]
    assert down.get_clim() == (low, high)
    bars = [axes for axes in drawn.figure.axes if axes.get_ylabel() == "grey levels per pixel"]
    assert len(bars) == 3


def test_corners_are_marked_where_they_are(drawn: Drawn) -> None:
    image = Image.new("L", (40, 30))
    image.paste(255, (10, 8, 25, 20))
    plots.classical(image, "square.png")
    (marks,) = drawn.panels["corners (Harris): 4"].lines
    assert set(np.round(np.asarray(marks.get_xdata()) / 5)) == {2, 5}
    assert set(np.round(np.asarray(marks.get_ydata()) / 4)) == {2, 5}


def test_of_very_many_corners_the_strongest_are_marked(drawn: Drawn) -> None:
    plots.classical(picture(0, (120, 120)), "noise.png")
    (name,) = (name for name in drawn.panels if name.startswith("corners"))
    assert name.startswith("corners (Harris): the 100 strongest of ")
    assert len(np.asarray(drawn.panels[name].lines[0].get_xdata())) == 100


def test_large_and_grey_pictures_are_said_to_be(drawn: Drawn) -> None:
    plots.classical(Image.new("L", (512, 128)), "large.png")
    assert drawn.title == (
        "large.png (scaled to 256 × 64); grey, so that red, green and blue are alike"
    )
    assert values(drawn.panels["grey levels"]).shape == (64, 256)


@pytest.mark.parametrize("size", one_in(3, [(1, 1), (300, 3), (3, 300)]))
def test_words_stay_in_the_figure(size: tuple[int, int], drawn: Drawn) -> None:
    plots.classical(picture(0, size), "odd.png")
    assert drawn.words_outside() == []
