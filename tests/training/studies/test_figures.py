"""Figures read what they say; criteria say what they compare, and hold where it is so."""

import math

import pytest

from tests.training.studies.measured import epoch, measured
from training.studies import figures
from training.studies.study import Spread

HISTORY = (
    epoch(1, validation=0.5, train=0.4, loss=2.0, validation_loss=1.0, rate=0.4),
    epoch(2, validation=0.8, train=0.6, loss=1.0, validation_loss=0.5, rate=0.4),
    epoch(3, validation=0.7, train=0.7, loss=0.5, validation_loss=0.8, rate=0.2),
)
RUNS = {
    "a": measured(
        0.7, 0.75, history=HISTORY, test=0.6, also_tested={"other": 0.3}, seconds=6.0, parameters=7
    ),
    "b": measured(math.nan, math.nan, test=math.nan, peak_memory=None),
}


@pytest.mark.parametrize(
    ("figure", "value"),
    [
        (figures.train("a"), 0.75),
        (figures.validation("a"), 0.7),
        (figures.validation("a", 2), 0.8),
        (figures.validation("a", 9), 0.7),
        (figures.best_validation("a"), 0.8),
        (figures.on_test_set("a"), 0.6),
        (figures.on("a", "other"), 0.3),
        (figures.gap("a"), 0.05),
        (figures.training_mode("a", 1), 0.4),
        (figures.loss("a", 2), 1.0),
        (figures.validation_loss("a"), 0.8),
        (figures.lowest_validation_loss("a"), 0.5),
        (figures.learning_rate_cuts("a", 3), 1),
        (figures.learning_rate_cuts("a", 2), 0),
        (figures.parameters("a"), 7),
        (figures.seconds_an_epoch("a"), 2.0),
        (figures.peak_memory("a"), 2**20),
        (figures.best_validation("a") - figures.validation("a"), 0.1),
        (2 * figures.validation("a"), 1.4),
    ],
    ids=lambda value: value.text if isinstance(value, figures.Figure) else "",
)
def test_a_figure_is_read_from_the_run(figure: figures.Figure, value: float) -> None:
    assert figure.of(RUNS) == pytest.approx(value)
    assert figure.labels == {"a"}
    assert "`a`" in figure.text


def test_a_run_that_diverged_gets_nothing_right() -> None:
    assert (figures.validation("b") <= 0.1).holds(RUNS)
    assert figures.train("b").of(RUNS) == figures.on_test_set("b").of(RUNS) == 0
    assert figures.best_validation("b").of(RUNS) == 0


def test_nothing_is_said_by_what_was_not_measured() -> None:
    for criterion in (figures.gap("b") < figures.gap("a"), figures.gap("b") >= figures.gap("a")):
        assert not criterion.holds(RUNS)
    assert not (figures.peak_memory("b") > 0).holds(RUNS)


@pytest.mark.parametrize(
    ("sign", "holds"), [("<", False), ("<=", True), (">", False), (">=", True)]
)
def test_comparisons_at_their_edge(sign: str, holds: bool) -> None:
    one = figures.parameters("a")
    criterion = {"<": one < 7, "<=": one <= 7, ">": one > 7, ">=": one >= 7}[sign]
    assert criterion.holds(RUNS) is holds


@pytest.mark.parametrize(("value", "holds"), [(0.72, True), (0.68, True), (0.73, False)])
def test_about_is_within_two_points(value: float, holds: bool) -> None:
    assert figures.validation("a").about(value).holds(RUNS) is holds


def test_criteria_say_what_they_compare() -> None:
    both = (figures.gap("a") < figures.gap("b")) & (figures.train("a") >= 0.5)
    assert both.text == "gap of `a` < gap of `b`; and training accuracy of `a` ≥ 0.5"
    assert both.labels == {"a", "b"}
    assert not both.holds(RUNS)
    assert figures.train("a").about(0.9).text == "training accuracy of `a` in 0.88 to 0.92"


def test_weights_are_compared_layer_by_layer_without_biases() -> None:
    one = measured(weights={"0.weight": Spread(1, 2), "2.weight": Spread(3, 4)})
    other = measured(weights={"0.weight": Spread(2, 3), "2.weight": Spread(4, 5)})
    runs = {"one": one, "other": other, "biased": measured(weights={"0.bias": Spread(9, 9)})}
    assert figures.narrower("one", "other").holds(runs)
    assert not figures.narrower("one", "other", ratio=0.6).holds(runs)
    assert figures.within("one", 4).holds(runs)
    assert not figures.within("one", 3.9).holds(runs)
    assert figures.within("biased", 0).holds(runs)
