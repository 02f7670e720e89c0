"""What findings are judged by: figures of the runs → true or false."""

from itertools import pairwise
from math import isfinite

from training.studies.study import Results


def learned(results: Results, *labels: str, at_least: float) -> bool:
    return all(results[label].validation >= at_least for label in labels)


def failed(results: Results, *labels: str, at_most: float) -> bool:
    """Not learned: a low accuracy, or none at all."""
    values = [results[label].validation for label in labels]
    return all(not isfinite(value) or value <= at_most for value in values)


def loss(results: Results, label: str, epoch: int) -> float:
    """Mean training loss of that epoch, or the last if there are fewer."""
    history = results[label].history
    return history[min(epoch, len(history)) - 1].train.loss


def halvings(results: Results, label: str) -> int:
    """How often the learning rate fell in the first 16 epochs."""
    rates = [epoch.learning_rate or 0.0 for epoch in results[label].history[:16]]
    return sum(after < before for before, after in pairwise(rates))


def narrower(results: Results, label: str, than: str) -> bool:
    """Each layer's weights have a smaller deviation; biases are left out."""
    one, other = results[label].weight_deviations, results[than].weight_deviations
    return all(one[name] < other[name] for name in one if name.endswith("weight"))
