"""Mosaics, labels and headings."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from training.plots import figures
from training.plots.text.lettering import lettering


def test_a_mosaic_lays_tiles_row_after_row() -> None:
    tiles = np.arange(3.0)[:, None, None] + np.zeros((3, 2, 2))
    whole = figures.mosaic(tiles, columns=2)
    nan = np.nan
    assert np.array_equal(
        whole,
        [[0, 0, nan, 1, 1], [0, 0, nan, 1, 1], [nan] * 5, [2, 2, *[nan] * 3], [2, 2, *[nan] * 3]],
        equal_nan=True,
    )


def test_a_mosaic_of_colours() -> None:
    whole = figures.mosaic(np.ones((2, 24, 24, 3)), columns=2)
    assert whole.shape == (24, 50, 3)  # a gap of a twelfth


@pytest.mark.parametrize("side", [3, 28])
def test_centres_are_the_middles_of_tiles(side: int) -> None:
    tiles = np.zeros((4, side, side))
    tiles[:, side // 2, :] = 1
    whole = figures.mosaic(tiles, columns=1)
    rows = np.flatnonzero(np.nansum(whole, axis=1))
    middles = figures.centres(whole.shape[0], side, 4)
    assert np.allclose(rows, middles, atol=0.5)


def test_a_figure_gets_higher_by_the_lines_of_its_heading() -> None:
    figure = Figure(figsize=(3, 1))
    with lettering("word"):
        figures.heading(figure, "word")
        assert figure.get_figheight() == 1
        figures.heading(figure, "word " * 12)
    assert len(figure.get_suptitle().splitlines()) == 2
    assert figure.get_figheight() == pytest.approx(1.2)


def test_bound_is_the_largest_finite_magnitude() -> None:
    assert figures.bound(np.array([-3.0, 2, np.nan, np.inf])) == 3
    assert figures.bound(np.array([np.nan])) == figures.bound(np.zeros(2)) == 1


@pytest.mark.parametrize(("channels", "shape"), [(1, (4, 5)), (3, (4, 5, 3))])
def test_pixels_as_imshow_takes_them(channels: int, shape: tuple[int, ...]) -> None:
    assert figures.pixels(torch.zeros(channels, 4, 5, dtype=torch.uint8)).shape == shape
