"""Temperature and calibration error are those of their definitions."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.trust import calibration
from tests.models.trust.answers import answers


class TestTemperature:
    @pytest.mark.parametrize("sharpness", [0.3, 1.0, 4.0])
    def test_it_undoes_what_made_the_logits_too_sure(self, sharpness: float) -> None:
        found = answers(20_000, sharpness=sharpness)
        assert calibration.temperature(found.logits, found.targets) == pytest.approx(
            sharpness, rel=0.04
        )

    def test_no_other_has_a_lower_cross_entropy(self) -> None:
        found = answers(500)
        best = calibration.temperature(found.logits, found.targets)
        losses = [
            F.cross_entropy(found.logits / t, found.targets, label_smoothing=1 / 501).item()
            for t in (best, best * 0.98, best * 1.02)
        ]
        assert losses.index(min(losses)) == 0

    @pytest.mark.parametrize("count", [50, 5000])
    def test_where_every_answer_is_right_the_images_bound_how_sure_it_is(self, count: int) -> None:
        targets = torch.arange(count) % 3
        logits = 5 * torch.eye(3)[targets]
        found = calibration.temperature(logits, targets)
        top = calibration.probabilities(logits, found).max().item()
        assert 1 - top == pytest.approx(2 / 3 / (count + 1), rel=0.01)

    def test_it_stays_within_bounds_where_every_answer_is_wrong(self) -> None:
        targets = torch.arange(3).repeat(50)
        assert calibration.temperature(10 * torch.eye(3)[targets], (targets + 1) % 3) < 20.1


class TestCalibrationError:
    def test_it_is_that_of_the_definition(self) -> None:
        found = answers(3000)
        shares = calibration.probabilities(found.logits, 1.0)
        top, right = shares.max(1).values.numpy(), (shares.argmax(1) == found.targets).numpy()
        expected = 0.0
        for low in range(15):
            there = (top > low / 15) & (top <= (low + 1) / 15)
            if there.any():
                expected += there.mean() * abs(right[there].mean() - top[there].mean())
        found_error = calibration.calibration_error(shares, found.targets)
        assert found_error == pytest.approx(expected, abs=1e-6)
        assert expected > 0.02

    def test_sure_and_right_has_none(self) -> None:
        assert calibration.calibration_error(torch.eye(4), torch.arange(4)) == 0
        assert calibration.calibration_error(torch.eye(4), torch.arange(4).flip(0)) == 1

    def test_every_image_is_in_one_bin(self) -> None:
        found = answers(700)
        bins = calibration.reliability(calibration.probabilities(found.logits, 1), found.targets)
        assert bins[:, 0].sum() == 700
        assert bins.shape == (calibration.BINS, 3)


class TestCrossFitted:
    def test_no_image_has_a_say_in_its_own_temperature(self) -> None:
        found = answers(200)
        folds = calibration.folds_of(found.targets)
        crossed = calibration.cross_fitted(found.logits, found.targets)
        for fold in range(calibration.FOLDS):
            out = folds == fold
            others = calibration.temperature(found.logits[~out], found.targets[~out])
            expected = calibration.probabilities(found.logits[out], others)
            torch.testing.assert_close(crossed[out], expected)

    def test_each_fold_has_the_same_part_of_every_class(self) -> None:
        targets = answers(503).targets
        folds = calibration.folds_of(targets).numpy()
        counts = np.array([np.bincount(folds[targets == k], minlength=5) for k in range(3)])
        assert (counts.max(1) - counts.min(1) <= 1).all()


class TestIsBetter:
    def test_of_logits_that_are_far_too_sure_a_temperature_is_better(self) -> None:
        found = answers(500, sharpness=4.0)
        before = calibration.probabilities(found.logits, 1.0)
        crossed = calibration.cross_fitted(found.logits, found.targets)
        assert calibration.is_better(crossed, before, found.targets)
        assert not calibration.is_better(before, crossed, found.targets)

    def test_the_same_is_not_better(self) -> None:
        found = answers(100)
        before = calibration.probabilities(found.logits, 1.0)
        assert not calibration.is_better(before, before, found.targets)

    @pytest.mark.parametrize(("worse", "is_told"), [(4, False), (3, True)])
    def test_a_rise_below_its_standard_error_is_chance(self, worse: int, is_told: bool) -> None:
        """Of ten log-probabilities some fall by 1, the others rise by 1: 0.2 ± 0.31, 0.4 ± 0.29."""
        before = torch.tensor([[math.exp(-2), 1 - math.exp(-2)]] * 10)
        after = torch.tensor([[math.exp(-1), 1 - math.exp(-1)]] * 10)
        after[:worse] = torch.tensor([math.exp(-3), 1 - math.exp(-3)])
        assert calibration.is_better(after, before, torch.zeros(10, dtype=torch.long)) == is_told

    def test_of_calibrated_logits_a_temperature_is_seldom_better(self) -> None:
        better = []
        for seed in range(40):
            found = answers(100, seed=seed, sharpness=1.0)
            before = calibration.probabilities(found.logits, 1.0)
            crossed = calibration.cross_fitted(found.logits, found.targets)
            better.append(calibration.is_better(crossed, before, found.targets))
        assert sum(better) <= 10

    def test_labels_that_were_called_impossible_count_as_far_worse(self) -> None:
        impossible = torch.tensor([[0.0, 1.0]] * 20)
        even, targets = torch.full((20, 2), 0.5), torch.zeros(20, dtype=torch.long)
        targets[:2] = 1
        assert calibration.is_better(even, impossible, targets)
        assert not calibration.is_better(impossible, even, targets)
