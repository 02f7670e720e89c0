"""Curves of one training and of several."""

from dataclasses import replace
from math import inf, nan

import pytest
from matplotlib.axes import Axes

from tests.training.plots.drawn import Drawn, opened, tick_labels, xs, ys
from training import plots
from training.fitting.evaluation import Metrics
from training.fitting.records.steps import Step
from training.fitting.state import Epoch

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


def with_rates(rates: list[float]) -> list[Epoch]:
    rows = zip(history(len(rates)), rates, strict=True)
    return [replace(epoch, learning_rate=rate) for epoch, rate in rows]


def steps(test: bool = True) -> list[Step]:
    """Two points of figures, and one before the first step where test pictures are evaluated."""
    figures = Metrics(2.0, 0.75) if test else None
    rows = [Step(n, 1, 0.5, 0.25, n / 1000, figures, 2000 * test) for n in (100, 200)]
    return [Step(0, 0, None, None, 0.1, figures, 2000), *rows] if test else rows


def by_label(drawn: Drawn) -> dict[str, Axes]:
    return {f"{axes.get_ylabel()} by {axes.get_xlabel()}": axes for axes in drawn.figure.axes}


def test_a_single_epoch_is_marked_and_tells_its_figures(drawn: Drawn) -> None:
    epochs = history(1)
    plots.curves(epochs, "colors", selected=epochs[0])
    loss, accuracy = panels(drawn)
    assert labels(loss) == ["train 1.0000", "validation 2.0000"]
    assert labels(accuracy) == ["train 0.0000", "validation 0.5000"]
    assert {line.get_marker() for line in loss.lines} == {"o"}


class TestLearningRate:
    def test_it_has_axes_of_its_own(self, drawn: Drawn) -> None:
        plots.curves(with_rates([0.1, 0.1, 0.05]), "colors")
        axes = by_label(drawn)["learning rate by epoch"]
        assert xs(axes.lines[0]) == [1, 2, 3]
        assert ys(axes.lines[0]) == [0.1, 0.1, 0.05]
        assert axes.get_ylim()[0] == 0

    @pytest.mark.parametrize(
        ("rates", "scale"),
        [
            ([0.1, 0.1], "linear"),
            ([0.1, 0.01], "linear"),
            ([0.1, 0.009], "log"),
            ([0.1, 1e-5, 0.0], "log"),
            ([0.0, 0.0], "linear"),
        ],
    )
    def test_its_scale_is_logarithmic_over_more_than_a_decade(
        self, rates: list[float], scale: str, drawn: Drawn
    ) -> None:
        plots.curves(with_rates(rates), "colors")
        axes = by_label(drawn)["learning rate by epoch"]
        assert axes.get_yscale() == scale
        assert drawn.words_outside() == []
        assert drawn.overlapping_ticks() == []

    def test_where_it_is_not_known_there_are_none(self, drawn: Drawn) -> None:
        plots.curves(history(3), "colors")
        assert len(drawn.figure.axes) == 2

    def test_an_epoch_of_the_head_alone_has_none(self, drawn: Drawn) -> None:
        epochs = [history(1)[0], replace(history(2)[1], learning_rate=0.1)]
        plots.curves(epochs, "colors")
        axes = by_label(drawn)["learning rate by epoch"]
        assert xs(axes.lines[0]) == [2]
        assert axes.lines[0].get_marker() == "o"


class TestSteps:
    def test_they_have_a_row_of_their_own(self, drawn: Drawn) -> None:
        plots.curves(with_rates([0.1]), "colors", None, steps())
        axes = by_label(drawn)
        loss, accuracy = axes["loss by step"], axes["accuracy by step"]
        assert labels(loss) == [
            *("batch of the step", "mean since the point before", "test, the first 2,000"),
        ]
        assert [xs(line) for line in loss.lines] == [[100, 200], [100, 200], [0, 100, 200]]
        assert [ys(line)[-1] for line in loss.lines] == [0.5, 0.25, 2.0]
        assert labels(accuracy) == ["test, the first 2,000"]
        assert ys(accuracy.lines[0]) == [0.75] * 3

    def test_the_learning_rate_is_theirs(self, drawn: Drawn) -> None:
        plots.curves(with_rates([0.1]), "colors", None, steps())
        axes = by_label(drawn)["learning rate by step"]
        assert xs(axes.lines[0]) == [0, 100, 200]
        assert ys(axes.lines[0]) == [0.1, 0.1, 0.2]

    def test_without_test_pictures_the_loss_has_the_row(self, drawn: Drawn) -> None:
        plots.curves(with_rates([0.1]), "colors", None, steps(test=False))
        assert list(by_label(drawn)) == [
            *("loss by epoch", "accuracy by epoch", "loss by step", "learning rate by step"),
        ]

    def test_a_loss_that_is_not_finite_is_said_to_be(self, drawn: Drawn) -> None:
        rows = [Step(n, 1, nan, nan, 0.1, Metrics(nan, nan), 9) for n in (1, 2)]
        plots.curves(diverged(1), "colors", None, rows)
        for name in ("loss by step", "accuracy by step"):
            (text,) = by_label(drawn)[name].texts
            assert text.get_text() == "no finite value"

    def test_one_alone_is_marked(self, drawn: Drawn) -> None:
        plots.curves(history(1), "colors", None, steps(test=False)[:1])
        (single, mean) = by_label(drawn)["loss by step"].lines
        assert single.get_marker() == mean.get_marker() == "o"
        assert mean.get_label() == "mean since the point before 0.2500"

    def test_very_many_are_a_line_without_marks(self, drawn: Drawn) -> None:
        rows = [Step(n, 1, 1 / n, 1 / n, 0.1) for n in range(1, 5000)]
        plots.curves(history(1), "colors", None, rows)
        assert by_label(drawn)["loss by step"].lines[0].get_marker() == "None"
        assert drawn.overlapping_ticks() == []


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
