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


class TestInterval:
    @pytest.mark.parametrize(
        ("accuracy", "count", "low", "high"),
        [  # Newcombe 1998, Two-sided confidence intervals for the single proportion, table I
            (81 / 263, 263, 0.2553, 0.3662),
            (15 / 148, 148, 0.0624, 0.1605),
            (0 / 20, 20, 0.0000, 0.1611),
            (1 / 29, 29, 0.0061, 0.1718),
        ],
    )
    def test_published_values(self, accuracy: float, count: int, low: float, high: float) -> None:
        found = evaluation.interval(accuracy, count)
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)

    @pytest.mark.parametrize("count", [1, 2, 10, 10_000])
    def test_it_stays_within_0_and_1(self, count: int) -> None:
        assert evaluation.interval(0, count).low == 0
        assert evaluation.interval(1, count).high == pytest.approx(1)
        assert evaluation.interval(1, count).high <= 1

    def test_no_picture_tells_nothing(self) -> None:
        assert evaluation.interval(0.5, 0) == evaluation.Interval(0, 1)

    def test_no_accuracy_has_no_interval(self) -> None:
        found = evaluation.interval(math.nan, 10)
        assert math.isnan(found.low)
        assert math.isnan(found.high)

    def test_as_text(self) -> None:
        assert str(evaluation.interval(0.9, 10)) == "95 %: 0.5958 to 0.9821"


class TestUnlikeClasses:
    """48 planes and 2 birds, all of which are taken for planes."""

    @staticmethod
    def planes(found: int = 0) -> evaluation.Evaluation:
        targets = torch.tensor([0] * 48 + [1] * 2)
        logits = torch.tensor([[1.0, 0.0]] * (50 - found) + [[0.0, 1.0]] * found)
        return evaluation.score(logits, targets, ("plane", "bird"))

    def test_the_balanced_accuracy_counts_each_class_the_same(self) -> None:
        result = self.planes()
        assert result.accuracy == pytest.approx(0.96)
        assert result.balanced_accuracy == 0.5
        assert result.is_unlike
        assert result.figures()["test_balanced_accuracy"] == 0.5

    def test_a_class_that_is_never_found_comes_first(self) -> None:
        first, second, third = self.planes().by_class().splitlines()
        assert first.startswith("balanced accuracy 0.5000")
        assert second.startswith("  bird: none of 2 found, recall 0.0000 (95 %: 0.0000 to ")
        assert third.startswith("  plane: 48 of 48 found, recall 1.0000")
        assert self.planes().never_found == ["bird"]
        assert self.planes(found=1).never_found == []

    def test_classes_of_one_size_are_not_told(self) -> None:
        result = evaluation.score(torch.eye(2), torch.arange(2), ("plane", "bird"))
        assert not result.is_unlike
        assert "test_balanced_accuracy" not in result.figures()

    def test_a_class_without_pictures_does_not_count(self) -> None:
        result = evaluation.score(torch.eye(3)[:2], torch.arange(2), ("a", "b", "c"))
        assert result.balanced_accuracy == 1
        assert not result.is_unlike
        assert result.never_found == []


class TestToldApart:
    def test_the_pairs_that_are_confused_most_come_first(self) -> None:
        found = score([0, 0, 0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 0, 1, 2, 1])
        assert found.told_apart() == (
            "hardest to tell apart: blue and green (33.3 % of both are taken for each other), "
            "green and red (25.0 % of both are taken for each other); no other pair is "
            "confused"
        )

    def test_where_none_is_confused_that_is_said(self) -> None:
        assert score([0, 1, 2], [0, 1, 2]).told_apart() == (
            "it tells all pairs of classes apart, on these pictures"
        )

    def test_classes_without_pictures_are_no_pair(self) -> None:
        assert "red" not in score([0, 0, 1], [0, 1, 1]).told_apart()
