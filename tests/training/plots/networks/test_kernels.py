"""Weights as pictures."""

from math import nan, prod

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.cases import one_in
from tests.training.plots.drawn import Drawn, opened, values
from training import plots


def draw(weight: Tensor, title: str = "conv", labels: tuple[str, ...] = ()) -> list[bytes]:
    """The pages."""
    return list(plots.kernels(weight, title, labels))


def test_kernels_of_one_channel_stand_side_by_side(drawn: Drawn) -> None:
    weight = torch.arange(9 * 9).view(9, 1, 3, 3) - 40.0
    draw(weight, "xo/1, layer conv1")
    assert drawn.title == "xo/1, layer conv1: 9 × 1 kernels of 3 × 3"
    axes, bar = drawn.figure.axes
    whole = values(axes)
    assert whole.shape == (11, 11)
    assert np.array_equal(whole[4:7, 8:11], weight[5, 0])
    assert np.isnan(whole[3]).all()
    assert axes.images[0].get_clim() == (-40, 40)
    assert bar.get_ylabel() == "weight"


def test_kernels_of_three_channels_are_in_colour(drawn: Drawn) -> None:
    weight = torch.zeros(2, 3, 3, 3)
    weight[1, 0], weight[1, 2] = 0.5, -0.25
    draw(weight)
    assert drawn.title.endswith("mid-grey is 0, the colours end at ±0.5")
    whole = values(drawn.figure.axes[0])
    assert whole[0, 0].tolist() == [0.5, 0.5, 0.5]
    assert whole[0, 4].tolist() == [1, 0.5, 0.25]


def test_kernels_of_more_channels_are_a_table(drawn: Drawn) -> None:
    weight = torch.arange(5 * 9 * 3 * 3).view(5, 9, 3, 3) * 1.0
    draw(weight, "conv2")
    axes = drawn.figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("input channel", "output channel")
    assert [label.get_text() for label in axes.get_yticklabels()] == list("01234")
    assert np.array_equal(values(axes)[8:11, 12:15], weight[2, 3])
    assert list(axes.get_yticks()) == [1, 5, 9, 13, 17]


def weights_of(drawn: Drawn) -> list[float]:
    """All that were drawn, on all pages."""
    shown = [values(figure.axes[0]) for figure in drawn]
    return sorted(value for page in shown for value in page[np.isfinite(page)].tolist())


@pytest.mark.parametrize(
    ("shape", "pages"),
    [
        ((65, 1, 3, 3), 1),
        ((1000, 1, 2, 4), 1),
        ((16, 17, 1, 1), 1),
        ((5, 301, 3, 3), 2),
        ((301, 2, 3, 3), 2),
        ((301, 301, 3, 3), 4),
        ((50, 1, 200, 200), 2),
    ],
)
def test_every_weight_is_drawn(shape: tuple[int, ...], pages: int, drawn: Drawn) -> None:
    weight = torch.arange(prod(shape), dtype=torch.float32).view(shape)
    assert len(draw(weight)) == pages
    assert weights_of(drawn) == weight.flatten().tolist()
    assert all("page" not in figure.get_suptitle() for figure in drawn) == (pages == 1)


@pytest.mark.parametrize("shape", one_in(2, [(600, 2, 3, 3), (600, 301, 3, 3)]))
def test_no_page_is_larger_than_its_bound_and_no_weight_smaller(
    shape: tuple[int, ...], drawn: Drawn
) -> None:
    for page in draw(torch.ones(shape)):
        assert max(opened(page).size) < 3600 + 500
    for figure in drawn:
        axes = figure.axes[0]
        box = axes.get_window_extent()
        assert box.height / values(axes).shape[0] == pytest.approx(3, abs=0.01)
        assert box.width / values(axes).shape[1] == pytest.approx(3, abs=0.01)


def test_a_page_says_what_it_has(drawn: Drawn) -> None:
    draw(torch.ones(301, 301, 3, 3))
    titles = [figure.get_suptitle().replace("\n", " ") for figure in drawn]
    assert titles[1].endswith(
        "301 × 301 kernels of 3 × 3; page 2 of 4: output channels 0 to 149, "
        "input channels 150 to 300"
    )
    axes = drawn[3].axes[0]
    assert axes.get_yticklabels()[0].get_text() == "150"
    assert axes.get_xticklabels()[0].get_text() == "150"


def test_all_pages_have_one_scale(drawn: Drawn) -> None:
    weight = torch.ones(301, 2, 3, 3)
    weight[0, 0, 0, 0] = -7
    draw(weight)
    assert {figure.axes[0].images[0].get_clim() for figure in drawn} == {(-7, 7)}


NAMES = ("T-shirt/top", "of sixty letters, which is a little longer than one would like", "蚂蚁")


@pytest.mark.parametrize("shape", [(3, 1, 8, 8), (3, 3, 8, 8), (3, 16, 5, 5), (3, 512, 1, 1)])
def test_kernels_of_classes_have_their_names(shape: tuple[int, ...], drawn: Drawn) -> None:
    draw(torch.ones(shape), "fc", NAMES)
    for figure in drawn:
        ticks = [label.get_text() for label in figure.axes[0].get_yticklabels()]
        titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
        names = [name.replace("\n", "").replace(" ", "") for name in titles or ticks]
        assert names[:2] == [name.replace(" ", "") for name in NAMES[:2]]
        assert len(names) == 3
    assert drawn.words_outside() == []
    assert drawn.overlapping_ticks() == []


def test_names_that_are_not_those_of_the_outputs_are_not_written(drawn: Drawn) -> None:
    draw(torch.ones(4, 2, 3, 3), "conv", NAMES)
    assert drawn.figure.axes[0].get_ylabel() == "output channel"


@pytest.mark.parametrize("value", [0.0, nan])
@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_kernels_without_a_scale(value: float, inputs: int) -> None:
    (page,) = draw(torch.full((2, inputs, 3, 3), value))
    opened(page)


def test_a_matrix(drawn: Drawn) -> None:
    weight = torch.tensor([[0.0, -2, 1]])
    plots.matrix(weight, "fc")
    axes = drawn.figure.axes[0]
    assert drawn.title == "fc: 1 outputs × 3 inputs"
    assert np.array_equal(values(axes), weight)
    assert axes.images[0].get_clim() == (-2, 2)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("input", "output")


def test_rows_of_a_matrix_are_classes(drawn: Drawn) -> None:
    plots.matrix(torch.ones(3, 40), "fc", NAMES)
    axes = drawn.figure.axes[0]
    assert axes.get_ylabel() == "class"
    assert axes.get_yticklabels()[0].get_text() == NAMES[0]
    many = tuple(f"class {n} {NAMES[1]}" for n in range(100))
    plots.matrix(torch.ones(100, 40), "fc", many)
    assert len(drawn.figure.axes[0].get_yticklabels()) == 100
    assert drawn.overlapping_ticks() == []
    assert drawn.words_outside() == []
