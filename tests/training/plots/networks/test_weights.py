"""Histograms of parameters, also of odd ones."""

from math import inf, nan

import pytest
import torch
from torch import Tensor

from tests.training.plots.drawn import Drawn, opened
from training import plots


def test_a_histogram_a_tensor(drawn: Drawn) -> None:
    tensor = torch.arange(1000.0)
    opened(plots.histograms({"conv.weight": tensor, "conv.bias": tensor[:5] - 2}, "colors"))
    assert list(drawn.panels) == ["conv.weight (1,000)", "conv.bias (5)"]
    weights, biases = drawn.panels.values()
    assert weights.get_title().endswith("\n0 to 999, std 289")
    assert biases.get_title().endswith("\n-2 to 2, std 1.41")
    assert sum(bar.get_height() for bar in weights.patches) == 1000  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("tensor", "told", "said"),
    [
        (torch.tensor([1.0, nan, inf, 2]), "values (4)\n2 not finite\n1 to 2, std 0.5", []),
        (torch.full((3,), nan), "values (3)\n3 not finite", ["no finite value"]),
        (torch.zeros(0), "values (0)", ["no values"]),
        (torch.ones(4, 4), "values (16)\n1 to 1, std 0", []),
        (torch.tensor(3.0), "values (1)\n3 to 3, std 0", []),
        (torch.tensor([1e-30, 3e38]), "values (2)\n1e-30 to 3e+38, std 1.5e+38", []),
    ],
)
def test_odd_tensors(tensor: Tensor, told: str, said: list[str], drawn: Drawn) -> None:
    opened(plots.histograms({"values": tensor}, "colors"))
    (axes,) = drawn.panels.values()
    assert axes.get_title() == told
    assert [text.get_text() for text in axes.texts] == said


def test_no_tensors() -> None:
    opened(plots.histograms({}, "colors"))


def test_of_very_many_tensors_some_are_drawn(drawn: Drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.plots.networks.weights.MAX_TENSORS", 4)
    plots.histograms({str(n): torch.ones(1) for n in range(9)}, "colors")
    assert list(drawn.panels) == ["0 (1)", "1 (1)", "7 (1)", "8 (1)"]
    assert drawn.title == "colors (4 of 9 tensors: the first and the last)"


def test_long_names_and_titles_stay_in_the_figure(drawn: Drawn) -> None:
    plots.histograms({f"{'block.' * 20}{n}": torch.ones(1) for n in range(2)}, "title " * 30)
    assert drawn.words_outside() == []
