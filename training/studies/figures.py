"""Figures of a study's runs, and criteria: comparisons of figures that are true or false.

A figure reads one number from the runs of one seed. Comparing it with a number, or with another
figure, gives a criterion, whose text says what was compared: `validation("SGD") >= 0.83`.
"""

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from training.fitting.state import Epoch
from training.studies.study import Criterion, Measured, Results, Spread

LEARNED = 0.7  # validation accuracy: far from chance, and below all that was reported as learning
ABOUT = 0.02  # "about 0.85" was seen where an accuracy is at most this far from it


@dataclass(frozen=True, eq=False)
class Figure:
    """A number that is read from the runs of one seed.

    `text` names it in a report. `labels` are those of the variants whose runs it reads. `of`
    returns NaN if the runs have no such number; comparisons with NaN are false.
    """

    text: str
    labels: frozenset[str]
    of: Callable[[Results], float]

    def __ge__(self, other: "Figure | float") -> Criterion:
        return _compare(self, "≥", other, operator.ge)

    def __le__(self, other: "Figure | float") -> Criterion:
        return _compare(self, "≤", other, operator.le)

    def __gt__(self, other: "Figure | float") -> Criterion:
        return _compare(self, ">", other, operator.gt)

    def __lt__(self, other: "Figure | float") -> Criterion:
        return _compare(self, "<", other, operator.lt)

    def __sub__(self, other: "Figure") -> "Figure":
        return Figure(
            f"{self.text} - {other.text}",
            self.labels | other.labels,
            lambda r: self.of(r) - other.of(r),
        )

    def __rmul__(self, factor: float) -> "Figure":
        return Figure(f"{factor:g} · {self.text}", self.labels, lambda r: factor * self.of(r))

    def about(self, value: float) -> Criterion:
        """Return the criterion that the figure is at most `ABOUT` away from the value."""
        low, high = value - ABOUT, value + ABOUT
        return Criterion(
            f"{self.text} in {low:.2f} to {high:.2f}",
            self.labels,
            lambda r: low <= self.of(r) <= high,
        )


def train(label: str) -> Figure:
    """Accuracy on the training pictures with the last epoch's weights, in evaluation mode; 0 of a
    run that diverged."""
    return _of(f"training accuracy of `{label}`", label, lambda run: _accuracy(run.train))


def validation(label: str, epoch: int | None = None) -> Figure:
    """Accuracy on the held-out pictures after that epoch, or after the last; 0 once it diverged."""
    if epoch is None:
        text = f"validation accuracy of `{label}`"
        return _of(text, label, lambda run: _accuracy(run.validation))
    text = f"validation accuracy of `{label}` after epoch {epoch}"
    return _of(text, label, lambda run: _accuracy(_validation_of(_at(run, epoch))))


def learned(*labels: str) -> Criterion:
    """Return the criterion that each of the runs has learned, with `LEARNED` or more in validation.

    Without it, a comparison of two failures would count.
    """
    named = " and ".join(f"`{label}`" for label in labels)
    return Criterion(
        f"{named} learned (validation accuracy ≥ {LEARNED:g})",
        frozenset(labels),
        lambda results: all(_accuracy(results[label].validation) >= LEARNED for label in labels),
    )


def best_validation(label: str) -> Figure:
    """The highest validation accuracy of all epochs."""

    def best(run: Measured) -> float:
        return max(_accuracy(_validation_of(epoch)) for epoch in run.history)

    return _of(f"best validation accuracy of `{label}`", label, best)


def on_test_set(label: str) -> Figure:
    """Accuracy on the test set with the last epoch's weights; 0 of a run that diverged."""
    return _of(f"test accuracy of `{label}`", label, lambda run: _accuracy(run.test))


def on(label: str, dataset: str) -> Figure:
    """Accuracy on the test pictures of a data set that the variant is also tested on; NaN if
    not."""
    text = f"accuracy of `{label}` on {dataset}"  # NaN where it was not tested
    return _of(text, label, lambda run: run.also_tested.get(dataset, math.nan))


def gap(label: str) -> Figure:
    """Training minus validation accuracy, both in evaluation mode."""
    return _of(f"gap of `{label}`", label, lambda run: run.gap)


def training_mode(label: str, epoch: int) -> Figure:
    """Mean accuracy on the training pictures during that epoch, in training mode."""
    text = f"training accuracy of `{label}` during epoch {epoch}"
    return _of(text, label, lambda run: _accuracy(_at(run, epoch).train.accuracy))


def loss(label: str, epoch: int) -> Figure:
    """Mean training loss of that epoch, in nats."""
    text = f"training loss of `{label}` in epoch {epoch}"
    return _of(text, label, lambda run: _at(run, epoch).train.loss)


def validation_loss(label: str) -> Figure:
    """Validation loss after the last epoch, in nats."""
    return _of(f"validation loss of `{label}`", label, lambda run: _losses(run)[-1])


def lowest_validation_loss(label: str) -> Figure:
    """Lowest validation loss of all epochs, in nats."""
    return _of(f"lowest validation loss of `{label}`", label, lambda run: min(_losses(run)))


def learning_rate_cuts(label: str, epochs: int) -> Figure:
    """Number of times that the learning rate falls from one epoch to the next in the first
    `epochs`."""

    def count(run: Measured) -> float:
        rates = [epoch.learning_rate or 0.0 for epoch in run.history[:epochs]]
        return sum(after < before for before, after in pairwise(rates))

    return _of(f"cuts of the learning rate of `{label}` in {epochs} epochs", label, count)


def narrower(label: str, than: str, ratio: float = 1.0) -> Criterion:
    """Return the criterion that in each layer, weights deviate less than `ratio` times the other's.

    Biases are left out.
    """
    text = f"in each layer, weights of `{label}` deviate less than {ratio:g} · those of `{than}`"

    def holds(results: Results) -> bool:
        one, other = results[label].weights, results[than].weights
        return all(one[n].deviation < ratio * other[n].deviation for n in _weights(one))

    return Criterion(text, frozenset({label, than}), holds)


def within(label: str, bound: float) -> Criterion:
    """Return the criterion that 95 % of each layer's weights lie within ±`bound`; no biases."""
    text = f"in each layer, 95 % of the weights of `{label}` lie within ±{bound:g}"

    def holds(results: Results) -> bool:
        weights = results[label].weights
        return all(weights[name].span <= bound for name in _weights(weights))

    return Criterion(text, frozenset({label}), holds)


def parameters(label: str) -> Figure:
    """Number of parameters of the network."""
    return _of(f"parameters of `{label}`", label, lambda run: run.parameters)


def seconds_an_epoch(label: str) -> Figure:
    return _of(f"seconds an epoch of `{label}`", label, lambda run: run.seconds / len(run.history))


def peak_memory(label: str) -> Figure:
    """Peak memory of the run in bytes; NaN if it was not measured."""
    text = f"peak memory of `{label}`"
    return _of(text, label, lambda run: math.nan if run.peak_memory is None else run.peak_memory)


def _of(text: str, label: str, read: Callable[[Measured], float]) -> Figure:
    return Figure(text, frozenset({label}), lambda results: read(results[label]))


def _compare(
    one: Figure, sign: str, other: Figure | float, is_so: Callable[[float, float], bool]
) -> Criterion:
    two = other if isinstance(other, Figure) else _constant(other)
    text = f"{one.text} {sign} {two.text}"
    return Criterion(text, one.labels | two.labels, lambda r: is_so(one.of(r), two.of(r)))


def _constant(value: float) -> Figure:
    return Figure(f"{value:g}", frozenset(), lambda results: value)


def _at(run: Measured, epoch: int) -> Epoch:
    """The epoch of that number, or the last one of a shorter run."""
    return run.history[min(epoch, len(run.history)) - 1]


def _validation_of(epoch: Epoch) -> float:
    return math.nan if epoch.validation is None else epoch.validation.accuracy


def _losses(run: Measured) -> list[float]:
    return [math.nan if e.validation is None else e.validation.loss for e in run.history]


def _accuracy(value: float) -> float:
    """Replace NaN by 0: a run that diverged gets nothing right."""
    return 0.0 if math.isnan(value) else value


def _weights(parameters: Mapping[str, Spread]) -> list[str]:
    return [name for name in parameters if name.endswith("weight")]
