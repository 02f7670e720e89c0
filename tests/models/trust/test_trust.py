"""What is promised of answers to familiar images holds, and strange ones are told apart."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.trust import Answers, Strangers, TrustError, fit
from models.trust.fitting import LEAST_IMAGES
from tests.models.trust.answers import CLASSES, answers, features_of, trust

FRESH = answers(4000, seed=9)


class TestFamiliarity:
    def pvalues(self, found: Answers, count: int = 2000) -> np.ndarray:
        of = trust(count)
        return of.pvalues(of.statistic(found.logits, features_of(found)).numpy())

    @pytest.mark.parametrize("part", [0.01, 0.05, 0.2])
    def test_of_familiar_images_that_part_lies_below_it(self, part: float) -> None:
        """Within three standard errors, those of the images asked and of the calibration images."""
        error = math.sqrt(part * (1 - part) * (1 / len(FRESH) + 1 / 2000))
        assert abs((self.pvalues(FRESH) < part).mean() - part) < 3 * error + 1 / 2000

    def test_strange_images_are_unfamiliar(self) -> None:
        assert (self.pvalues(answers(500, seed=3, shift=8)) < 0.05).mean() > 0.99

    def test_cross_fitted_it_keeps_the_promise_too(self) -> None:
        found = fit(answers(1000, seed=4), "made up").trust
        assert found is not None
        low = found.pvalues(found.statistic(FRESH.logits, features_of(FRESH)).numpy()) < 0.05
        assert abs(low.mean() - 0.05) < 0.025

    def test_without_features_the_energy_tells(self) -> None:
        calibration, reference = answers(600), answers(600, seed=2)
        bare = [Answers(each.logits, None, each.targets) for each in (calibration, reference)]
        found = fit(bare[0], "made up", bare[1]).trust
        assert found is not None
        assert found.familiarity is not None
        assert (found.familiarity.method, found.familiarity.layer) == ("energy", "logits")
        assert found.method is not None
        assert found.method.width() is None
        flat = found.statistic(torch.zeros(5, CLASSES), torch.empty(5, 0)).numpy()
        assert (found.pvalues(flat) < 0.05).all()

    @pytest.mark.parametrize("part", [0.0, 0.015])
    def test_images_of_one_colour_are_never_familiar_and_the_others_as_before(
        self, part: float
    ) -> None:
        blank = torch.arange(1000) < 1000 * part
        found = fit(replace(answers(1000, seed=4), blank=blank), "made up", answers(2000, seed=2))
        assert found.trust is not None
        assert found.trust.familiarity is not None
        assert found.trust.familiarity.images == 1000 * (1 - part)
        assert not found.trust.knows_blank
        assert found.pvalues is not None
        assert (found.pvalues[blank.numpy()] < 0.002).all()
        low = found.trust.pvalues(found.trust.statistic(FRESH.logits, features_of(FRESH)).numpy())
        assert abs((low < 0.05).mean() - 0.05) < 0.025
        said = "1.5 % of these images are of one colour: such are never familiar"
        assert (said in found.notes) == (part > 0)

    def test_where_many_are_of_one_colour_such_are_judged_as_others(self) -> None:
        blank = torch.arange(1000) < 300
        found = fit(replace(answers(1000, seed=4), blank=blank), "made up", answers(2000, seed=2))
        assert found.trust is not None
        assert found.trust.knows_blank
        assert found.trust.familiarity is not None
        assert found.trust.familiarity.images == 1000
        assert found.pvalues is not None
        assert (found.pvalues[:300] < 0.05).mean() < 0.1
        assert "30.0 % of these images are of one colour: such are judged as others" in found.notes

    def test_a_stranger_that_gives_no_number_is_left_out(self) -> None:
        others = answers(200, seed=6, shift=2.0)
        assert others.features is not None
        others.features[0] = torch.inf
        told = []
        for some in (others, others.subset(torch.arange(1))):
            found = fit(answers(600), "made up", answers(600, seed=2), Strangers(some, "walls"))
            assert found.trust is not None
            assert found.trust.familiarity is not None
            told.append((found.trust.familiarity.method, *found.notes))
        lost = "strangers are left out: their features are not finite numbers"
        assert told == [("outlier-exposure", f"1 of 200 {lost}"), ("gaussian", f"1 of 1 {lost}")]

    def test_the_batch_changes_nothing(self) -> None:
        of, features = trust(), features_of(FRESH)
        whole = of.statistic(FRESH.logits, features)
        single = torch.cat(
            [of.statistic(FRESH.logits[i : i + 1], features[i : i + 1]) for i in range(20)]
        )
        torch.testing.assert_close(single, whole[:20], rtol=1e-5, atol=1e-5)


class TestSets:
    @pytest.mark.parametrize("coverage", [0.9, 0.95, 0.99])
    def test_the_label_is_in_that_part_of_the_sets(self, coverage: float) -> None:
        of = trust(2000)
        sets = of.sets(of.probabilities(FRESH.logits).numpy(), coverage)
        held = sets[np.arange(len(sets)), FRESH.targets.numpy()].mean()
        error = math.sqrt(coverage * (1 - coverage) * (1 / len(FRESH) + 1 / 2000))
        accuracy = (FRESH.logits.argmax(1) == FRESH.targets).float().mean().item()
        assert abs(held - max(coverage, accuracy)) < 3 * error

    def test_the_top_label_is_always_in(self) -> None:
        of = trust()
        shares = of.probabilities(FRESH.logits).numpy()
        for coverage in (1e-9, 0.5, 0.99):
            assert of.sets(shares, coverage)[np.arange(len(shares)), shares.argmax(1)].all()

    def test_more_coverage_takes_more_labels_in(self) -> None:
        of = trust()
        shares = of.probabilities(FRESH.logits).numpy()
        low, high = of.sets(shares, 0.9), of.sets(shares, 0.99)
        assert (high | ~low).all()
        assert high.sum() > low.sum()

    def test_what_the_images_are_too_few_for_takes_all_labels_in(self) -> None:
        of = trust(100)
        assert of.sets(of.probabilities(FRESH.logits[:9]).numpy(), 0.9999).all()

    @pytest.mark.parametrize("coverage", [0, 1, -1, math.nan, 1e9])
    def test_what_is_no_coverage_is_refused(self, coverage: float) -> None:
        with pytest.raises(ValueError, match="above 0 and below 1"):
            trust().sets(np.full((1, 3), 1 / 3, np.float32), coverage)

    def test_an_answer_is_clear_if_one_label_alone_is_probable_enough(self) -> None:
        of = trust()
        least = of.least_probability(of.coverage)
        shares = np.array([[least, 0, 0], [least, least, 0], [least / 2, 0, 0]], np.float32)
        assert of.are_clear(shares).tolist() == [True, False, False]
        assert of.sets(shares).sum(1).tolist() == [1, 2, 1]

    def test_less_coverage_makes_no_answer_ambiguous(self) -> None:
        of = trust()
        shares = of.probabilities(FRESH.logits).numpy()
        usual = of.are_clear(shares)
        assert of.are_clear(shares, 0.3)[usual].all()
        assert usual[of.are_clear(shares, 0.999)].all()

    def test_the_default_is_that_of_the_card(self) -> None:
        of = trust()
        shares = of.probabilities(FRESH.logits).numpy()
        np.testing.assert_array_equal(of.sets(shares), of.sets(shares, of.calibration.coverage))


class TestFit:
    def test_probabilities_are_calibrated(self) -> None:
        card = trust(2000).calibration
        assert card.ece_after < 0.03 < card.ece_before
        assert (card.images, card.source) == (2000, "made up")

    def test_the_default_coverage_is_above_the_accuracy(self) -> None:
        accuracy = (answers(600, 1).logits.argmax(1) == answers(600, 1).targets).float().mean()
        assert trust().coverage == pytest.approx((1 + accuracy.item()) / 2, abs=1e-3)

    def test_the_images_bound_the_default_coverage(self) -> None:
        sure = Answers(50 * torch.eye(3).repeat(20, 1), None, torch.arange(3).repeat(20))
        found = fit(sure, "made up").trust
        assert found is not None
        assert found.coverage == pytest.approx(60 / 61, abs=1e-4)
        assert (found.sets(found.probabilities(sure.logits).numpy()).sum(1) == 1).all()

    @pytest.mark.parametrize("count", [0, 1, 20, LEAST_IMAGES - 1])
    def test_of_too_few_images_nothing_is_fitted_and_that_is_said(self, count: int) -> None:
        found = fit(answers(count), "made up")
        assert found.trust is None
        assert f"{count or 'no'} images" in found.notes[0]
        assert "fanlight calibrate" in found.notes[0]

    def test_logits_that_are_not_finite_are_not_calibrated(self) -> None:
        broken = answers(100)
        broken.logits[3] = math.nan
        assert fit(broken, "made up").trust is None

    def test_features_that_tell_nothing_leave_the_familiarity_out(self) -> None:
        same = answers(100)
        found = fit(Answers(same.logits, torch.ones(100, 8), same.targets), "made up")
        assert found.trust is not None
        assert found.trust.familiarity is None
        assert "familiarity is left out" in found.notes[0]
        with pytest.raises(TrustError):
            found.trust.statistic(same.logits, torch.ones(100, 8))

    def test_a_class_without_images_is_no_class_mean(self) -> None:
        some = answers(300)
        of = some.subset(some.targets != 1)
        found = fit(of, "made up", of).trust
        assert found is not None
        assert found.method is not None
        assert len(found.method.get_buffer("means")) == 2

    def test_the_same_answers_give_the_same_trust(self) -> None:
        wide = [
            Answers(
                each.logits, torch.randn(len(each), 700, generator=torch.Generator()), each.targets
            )
            for each in (answers(900), answers(900, 5))
        ]
        first, second = (fit(wide[0], "made up", wide[1]).trust for _ in range(2))
        assert first is not None
        assert second is not None
        assert first.method is not None
        assert second.method is not None
        for name, values in first.method.named_buffers():
            assert torch.equal(values, second.method.get_buffer(name))


def test_where_no_temperature_is_better_there_is_none() -> None:
    found = fit(answers(60, seed=3, sharpness=1.0), "made up").trust
    assert found is not None
    assert found.calibration.temperature == 1.0
    assert found.calibration.ece_after == found.calibration.ece_before
