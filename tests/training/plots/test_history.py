"""Curves of one training and of several."""

from math import inf, nan

import pytest
from matplotlib.axes import Axes

from tests.training.plots.drawn import Drawn, opened, tick_labels, xs, ys
from training import plots
from training.fitting.evaluation import Metrics
from training.fitting.loop import Epoch

LONG = "Adam with a learning rate of 0.001 and pixels from 0 to 255, one hidden layer of a thousand"


def history(epochs: int, validation: bool = True, factor: float = 1.0) -> list[Epoch]:
    return [
        Epoch(n, Metrics(factor / n, 1 - 1 / n), Metrics(2 / n, 0.5) if validation else None)
        for n in range(1, epochs + 1)
    ]


def diverged(epochs: int) -> list[Epoch]:
    return [Epoch(n, Metrics(nan, 0.1), Metrics(inf, 0.1)) for n in range(1, epochs + 1)]


def panels(drawn: Drawn) -> tuple[Axes, Axes]:
    loss, accuracy = drawn.figure.axes
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("loss", "accuracy")
    return loss, accuracy


def labels(axes: Axes) -> list[str]:
    return [label for label in axes.get_legend_handles_labels()[1] if label]


def test_curves_show_both_sets_and_the_selected_epoch(drawn: Drawn) -> None:
    epochs = history(4)
    image = opened(plots.curves(epochs, "colors", selected=epochs[1]))
    assert image.width > image.height > 300
    for axes in panels(drawn):
        assert labels(axes) == ["train", "validation", "selected"]
        assert xs(axes.lines[0]) == [1, 2, 3, 4]
        assert xs(axes.lines[2]) == [2, 2]
    assert ys(panels(drawn)[0].lines[1]) == [2, 1, 2 / 3, 0.5]


def test_curves_without_validation(drawn: Drawn) -> None:
    plots.curves(history(3, validation=False), "colors")
    assert labels(panels(drawn)[0]) == ["train"]


def test_epochs_are_whole_numbers(drawn: Drawn) -> None:
    plots.curves(history(1), "colors")
    assert [label.get_text() for label in tick_labels(panels(drawn)[0].xaxis)] == ["1"]


def test_a_loss_that_is_not_finite_is_said_to_be(drawn: Drawn) -> None:
    plots.curves(diverged(2), "colors")
    loss, accuracy = panels(drawn)
    assert [text.get_text() for text in loss.texts] == ["no finite value"]
    assert not accuracy.texts
    assert ys(accuracy.lines[0]) == [0.1, 0.1]


def test_a_history_without_epochs() -> None:
    opened(plots.curves([], "colors"))


def test_values_that_are_not_finite_are_left_out(drawn: Drawn) -> None:
    plots.curves([*history(2), *diverged(3)[2:]], "colors")
    assert xs(panels(drawn)[0].lines[0]) == [1, 2]


def test_an_overlay_has_a_colour_for_each_training(drawn: Drawn) -> None:
    plots.overlay({str(n): history(3) for n in range(12)} | {"diverged": diverged(3)}, "study")
    loss, accuracy = panels(drawn)
    assert len(loss.lines) == 24
    assert len(accuracy.lines) == 26
    assert len({str(line.get_color()) for line in accuracy.lines}) == 13
    assert [line.get_linestyle() for line in loss.lines[:2]] == ["--", "-"]


@pytest.mark.parametrize("factor", [1.0, 1e-4])
def test_losses_of_an_overlay_are_logarithmic_with_plain_numbers(
    factor: float, drawn: Drawn
) -> None:
    plots.overlay({"a": history(9, factor=factor)}, "study")
    loss, accuracy = panels(drawn)
    assert (loss.get_yscale(), accuracy.get_yscale()) == ("log", "linear")
    numbers = [
        float(label.get_text().replace("\N{MINUS SIGN}", "-")) for label in tick_labels(loss.yaxis)
    ]
    assert len(numbers) >= 2
    assert min(numbers) > 0


def test_long_names_stay_in_an_overlay(drawn: Drawn) -> None:
    plots.overlay({f"{number} {LONG}": history(3) for number in range(7)}, "study")
    assert drawn.words_outside() == []


def test_an_overlay_of_trainings_that_all_diverged(drawn: Drawn) -> None:
    plots.overlay({"a": diverged(2)}, "study")
    assert [text.get_text() for text in panels(drawn)[0].texts] == ["no finite value"]
