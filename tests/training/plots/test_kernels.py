"""Weights as pictures."""

from math import nan

import numpy as np
import pytest
import torch

from tests.training.plots.drawn import Drawn, opened, values
from training import plots


def test_kernels_of_one_channel_stand_side_by_side(drawn: Drawn) -> None:
    weight = torch.arange(9 * 9).view(9, 1, 3, 3) - 40.0
    plots.kernels(weight, "xo/1, layer conv1")
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
    plots.kernels(weight, "conv1")
    assert drawn.title.endswith("mid-grey is 0, the colours end at ±0.5")
    whole = values(drawn.figure.axes[0])
    assert whole[0, 0].tolist() == [0.5, 0.5, 0.5]
    assert whole[0, 4].tolist() == [1, 0.5, 0.25]


def test_kernels_of_more_channels_are_a_table(drawn: Drawn) -> None:
    weight = torch.arange(5 * 9 * 3 * 3).view(5, 9, 3, 3) * 1.0
    plots.kernels(weight, "conv2")
    axes = drawn.figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("input channel", "output channel")
    assert [label.get_text() for label in axes.get_yticklabels()] == list("01234")
    assert np.array_equal(values(axes)[8:11, 12:15], weight[2, 3])
    assert list(axes.get_yticks()) == [1, 5, 9, 13, 17]


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((64, 1, 3, 3), "64 × 1 kernels of 3 × 3"),
        ((65, 1, 3, 3), "65 × 1 kernels of 3 × 3, 64 × 1 of them shown"),
        ((1000, 3, 2, 4), "1,000 × 3 kernels of 2 × 4, 64 × 3 of them shown"),
        ((16, 17, 1, 1), "16 × 17 kernels of 1 × 1, 16 × 16 of them shown"),
    ],
)
def test_what_is_left_out_is_told(shape: tuple[int, ...], told: str, drawn: Drawn) -> None:
    plots.kernels(torch.ones(shape), "conv")
    assert drawn.title.split("; ")[0] == f"conv: {told}"


@pytest.mark.parametrize("value", [0.0, nan])
@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_kernels_without_a_scale(value: float, inputs: int) -> None:
    opened(plots.kernels(torch.full((2, inputs, 3, 3), value), "conv"))


def test_a_matrix(drawn: Drawn) -> None:
    weight = torch.tensor([[0.0, -2, 1]])
    plots.matrix(weight, "fc")
    axes = drawn.figure.axes[0]
    assert drawn.title == "fc: 1 outputs × 3 inputs"
    assert np.array_equal(values(axes), weight)
    assert axes.images[0].get_clim() == (-2, 2)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("input", "output")
