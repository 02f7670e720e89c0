"""Figures of a classifier, against numbers worked out by hand."""

import math

import pytest
import torch

from training.fitting import evaluation
from training.fitting.evaluation import ClassFigures, Evaluation

LABELS = ("blue", "green", "red")


def score(targets: list[int], predictions: list[int]) -> Evaluation:
    logits = torch.eye(3)[predictions] * 5
    return evaluation.score(logits, torch.tensor(targets), LABELS)


def test_confusion_counts_actual_by_predicted() -> None:
    result = score([0, 0, 0, 1, 1, 1, 2], [0, 0, 1, 1, 1, 1, 0])
    assert result.confusion == [[2, 1, 0], [0, 3, 0], [1, 0, 0]]
    assert result.accuracy == pytest.approx(5 / 7)


def test_figures_by_class() -> None:
    result = score([0, 0, 0, 1, 1, 1, 2], [0, 0, 1, 1, 1, 1, 0])
    blue, green, red = result.classes
    assert [figures.label for figures in result.classes] == list(LABELS)
    assert (blue.precision, blue.recall, blue.f1) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert (green.precision, green.recall, green.f1) == pytest.approx((3 / 4, 1, 6 / 7))
    assert red == ClassFigures("red", precision=0, recall=0, f1=0, support=1)
    assert (blue.support, green.support) == (3, 3)


def test_a_class_without_pictures_has_zeros() -> None:
    result = score([0, 0, 1], [0, 2, 1])
    assert result.classes[2] == ClassFigures("red", precision=0, recall=0, f1=0, support=0)
    assert result.classes[0].recall == 0.5


def test_f1_is_the_harmonic_mean() -> None:
    for figures in score([0, 0, 0, 1, 1, 2, 2, 2, 2], [0, 1, 2, 1, 0, 2, 2, 2, 0]).classes:
        harmonic = 2 / (1 / figures.precision + 1 / figures.recall)
        assert figures.f1 == pytest.approx(harmonic)


def test_everything_right() -> None:
    result = score([0, 1, 2, 2], [0, 1, 2, 2])
    assert result.accuracy == 1
    assert [(c.precision, c.recall, c.f1) for c in result.classes] == [(1, 1, 1)] * 3


def test_loss_is_the_mean_cross_entropy() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0], [math.log(6), 0.0, math.log(2)]])
    result = evaluation.score(logits, torch.tensor([0, 2]), LABELS)
    assert result.loss == pytest.approx((math.log(3) + math.log(9 / 2)) / 2)


def test_logits_that_are_not_finite_have_no_accuracy() -> None:
    logits = torch.eye(3) * 5
    logits[0, 0] = math.nan
    result = evaluation.score(logits, torch.tensor([0, 1, 2]), LABELS)
    assert math.isnan(result.accuracy)
    assert math.isnan(result.loss)


def test_all_figures_of_a_set_come_from_one_place() -> None:
    """In batches or at once, with the classes or without."""
    logits = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(10) % 3
    tally = evaluation.Tally(torch.device("cpu"))
    for rows in torch.arange(10).split(4):
        tally.add(logits[rows], targets[rows])
    metrics, scored = tally.metrics(), evaluation.score(logits, targets, ("a", "b", "c"))
    assert metrics.loss == pytest.approx(torch.nn.functional.cross_entropy(logits, targets).item())
    assert metrics.accuracy == int((logits.argmax(1) == targets).sum()) / 10
    assert (scored.loss, scored.accuracy) == pytest.approx((metrics.loss, metrics.accuracy))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_logit_that_is_not_finite_leaves_no_figure(value: float) -> None:
    logits = torch.zeros(4, 2)
    logits[2, 1] = value
    tally = evaluation.Tally(torch.device("cpu"))
    tally.add(logits, torch.zeros(4, dtype=torch.int64))
    assert math.isnan(tally.metrics().loss)
    assert math.isnan(tally.metrics().accuracy)
