"""What a training is trusted by are pictures that it was not trained on."""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch

from models import trust as trusts
from tests.networks import SPEC, Tiny
from tests.training.pictures import colors
from training.data import patterns
from training.data.datasets import ImageSet
from training.fitting import loop, predicting, trust, tuning
from training.fitting.state import Fitted
from training.recipes.recipe import Recipe

RECIPE = Recipe(
    "colors", "colors", "tiny", 2, 64, "adam", 0.02, validation_fraction=0, selection="last"
)
CPU = torch.device("cpu")


@cache
def fitted(pictures: int = 400, **changes: Any) -> Fitted:
    """Trained on so many pictures of each class."""
    return loop.fit(replace(RECIPE, **changes), colors(pictures), SPEC, CPU)


def apart(one: ImageSet, other: ImageSet) -> bool:
    """Whether no picture is in both."""
    seen = {each.numpy().tobytes() for each in one.in_memory}
    return not any(each.numpy().tobytes() in seen for each in other.in_memory)


class TestAnswers:
    def test_logits_are_those_of_predict_and_features_what_the_head_takes(self) -> None:
        network, images = fitted().network, colors(5, seed=3)
        found = trust.answers(network, images, SPEC)
        assert isinstance(network, Tiny)
        assert found.features is not None
        torch.testing.assert_close(found.logits, predicting.predict(network, images, SPEC))
        with torch.inference_mode():
            torch.testing.assert_close(network.fc(found.features), found.logits)
        assert torch.equal(found.targets, images.targets)

    def test_features_that_are_too_many_are_left_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(trust, "MAX_WIDTH", 3)
        found = trust.answers(fitted().network, colors(5), SPEC)
        assert found.features is None
        assert found.logits.shape == (15, 3)

    def test_of_no_pictures_there_are_none(self) -> None:
        nothing = colors(1).subset(torch.empty(0, dtype=torch.long))
        assert len(trust.answers(fitted().network, nothing, SPEC)) == 0


class TestHoldBack:
    @pytest.mark.parametrize(
        "changes", [{}, {"validation_fraction": 0.1}, {"calibration_fraction": 0.1}]
    )
    @pytest.mark.parametrize("pictures", [40, 150, 400])
    def test_sizes_are_told_before(self, pictures: int, changes: dict[str, Any]) -> None:
        told = loop.sizes(replace(RECIPE, **changes), colors(pictures), None)
        assert told == trust.sizes_of(fitted(pictures, **(changes | {"epochs": 1})))

    def test_what_calibrates_was_not_trained_on(self) -> None:
        found = fitted()
        assert found.calibration is not None
        assert len(found.calibration) == 48  # 4 % of 400 of each class
        assert len(found.trained_on) == 1152
        assert apart(found.calibration, found.trained_on)
        assert not found.validated

    def test_a_validation_split_serves_where_there_is_one(self) -> None:
        found = fitted(validation_fraction=0.25)
        assert found.calibration is not None
        assert len(found.calibration) == found.validated == 300
        assert len(found.trained_on) == 900
        assert apart(found.calibration, found.trained_on)

    @pytest.mark.parametrize(
        ("pictures", "changes"), [(100, {}), (400, {"calibration_fraction": 0.0})]
    )
    def test_few_pictures_are_all_trained_on(self, pictures: int, changes: dict[str, Any]) -> None:
        found = fitted(pictures, **changes)
        assert len(found.trained_on) == 3 * pictures
        assert found.calibration is not None
        assert len(found.calibration) == 0

    def test_with_pictures_for_validation_nothing_else_is_held_back(self) -> None:
        assert loop.sizes(RECIPE, colors(400), colors(20)) == (1200, 60)


class TestFit:
    def test_a_training_ends_with_calibration_and_familiarity(self) -> None:
        found = trust.fit(fitted(), RECIPE, SPEC)
        assert found.fitted.trust is not None
        card = found.fitted.trust.calibration
        assert card.images == 48
        assert card.source == "held back from the training set of colors for calibration alone"
        assert found.fitted.trust.familiarity is not None
        assert "calibrated on 48 images (held back" in found.text
        assert "unfamiliar (below 0.05)" in found.text

    def test_familiarity_learns_strangers_that_were_trained_on_or_else_patterns(self) -> None:
        white = torch.full((20, *SPEC.shape), 255, dtype=torch.uint8)
        others = ImageSet(white, torch.zeros(20, dtype=torch.long), ("white",))
        against = replace(RECIPE, strangers="walls + more/paper")
        told = []
        for one, recipe in (
            (fitted(), RECIPE),
            (replace(fitted(), strangers=others), against),
        ):
            found = trust.fit(one, recipe, SPEC).fitted.trust
            assert found is not None
            assert found.familiarity is not None
            assert found.familiarity.method == "outlier-exposure"
            told.append(found.familiarity.strangers)
        assert told == [f"patterns ({', '.join(patterns.LABELS)})", "walls + paper (white)"]

    @pytest.mark.parametrize(("own", "each"), [(3, 10), (40, 20), (400, 100)])
    def test_patterns_are_about_as_many_as_the_own_images(self, own: int, each: int) -> None:
        answered = trust.answers(fitted().network, colors(1), SPEC)
        found = trust.pattern_strangers(fitted().network, colors(own), SPEC, answered)
        assert found is not None
        kinds = len(patterns.LABELS)
        assert torch.bincount(found.answers.targets).tolist() == [each] * kinds

    def test_too_few_images_of_a_head_alone_are_not_compared_with_patterns(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def drawn(*_: object) -> None:
            raise AssertionError

        monkeypatch.setattr(trust, "pattern_strangers", drawn)
        few = trust.answers(fitted().network, colors(5), SPEC)
        found = trust.fit(replace(fitted(), crossed=few), RECIPE, SPEC)
        assert "15 images that were not trained on are too few" in found.text

    def test_the_source_says_that_the_epoch_was_selected(self) -> None:
        changes: dict[str, Any] = {"validation_fraction": 0.25, "selection": "best"}
        found = trust.fit(fitted(**changes), replace(RECIPE, **changes), SPEC)
        assert found.fitted.trust is not None
        assert found.fitted.trust.calibration.source == (
            "validation images of colors, which were not trained on; the epoch was selected by them"
        )

    def test_the_source_does_not_name_the_folders_of_this_machine(self) -> None:
        recipe = replace(RECIPE, dataset="/home/somebody/secret/colors + other/more")
        assert trust.source_of(fitted(), recipe).startswith(
            "held back from the training set of colors + more"
        )

    def test_too_few_pictures_are_said_to_be_too_few(self) -> None:
        found = trust.fit(fitted(10), RECIPE, SPEC)
        assert found.fitted.trust is None
        assert found.text.startswith("calibration is left out: no images")
        few = fitted(20, validation_fraction=0.5)
        assert "30 images" in trust.fit(few, RECIPE, SPEC).text

    def test_most_answers_to_new_pictures_are_familiar(self) -> None:
        found = trust.fit(fitted(validation_fraction=0.25), RECIPE, SPEC).fitted.trust
        assert found is not None
        fresh = trust.answers(fitted(validation_fraction=0.25).network, colors(300, 8), SPEC)
        low, _ = trust.unsure(found, fresh)
        assert abs(low.double().mean().item() - 0.05) < 0.045

    def test_the_reference_is_a_part_of_many_pictures(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(trust, "MAX_REFERENCE", 50)
        found = trust.answers(fitted().network, colors(2), SPEC)
        part = trust.reference_of(colors(40), found)
        assert len(part) == 50
        assert len(part.targets.unique()) == 3


class TestCrossed:
    """Where too few were held out, each picture is answered by a network trained without it."""

    def test_what_was_trained_on_calibrates(self) -> None:
        few = fitted(40, validation_fraction=0.1)
        found = trust.fit(few, RECIPE, SPEC)
        assert found.fitted.trust is not None
        card = found.fitted.trust.calibration
        assert card.images == len(few.trained_on) == 108
        assert card.source == (
            "the training set of colors, by cross-validation: each image is answered by a network "
            "that was trained without it"
        )
        assert found.fitted.trust.familiarity is not None
        assert found.fitted.trust.familiarity.images == 108

    def test_no_network_was_trained_on_what_it_answers(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        few = fitted(40, validation_fraction=0.1)
        seen: list[tuple[Any, ImageSet]] = []
        pairs: list[tuple[ImageSet, ImageSet]] = []
        train, answer = loop.fit, trust.answers

        def trained(recipe: Recipe, rest: ImageSet, *others: Any, **options: Any) -> Fitted:
            found = train(recipe, rest, *others, **options)
            seen.append((found.network, rest))
            return found

        def answered(network: Any, images: ImageSet, *others: Any) -> Any:
            for other, rest in seen:
                if other is network and len(rest) + len(images) == 108:
                    pairs.append((rest, images))
            return answer(network, images, *others)

        monkeypatch.setattr(loop, "fit", trained)
        monkeypatch.setattr(trust, "answers", answered)
        told: list[None] = []
        trust.fit(few, RECIPE, SPEC, on_training=lambda: told.append(None))
        assert len(pairs) == len(seen) == len(told) == 5
        assert all(apart(rest, out) for rest, out in pairs)
        assert sum(len(out) for _, out in pairs) == 108

    def test_fresh_pictures_are_as_familiar_as_promised(self) -> None:
        few = fitted(60)
        found = trust.fit(few, RECIPE, SPEC).fitted.trust
        assert found is not None
        fresh = trust.answers(few.network, colors(300, 8), SPEC)
        assert (found.pvalues(trust.statistic(found, fresh)) < 0.05).mean() < 0.12

    @pytest.mark.parametrize(
        ("pictures", "changes", "expected"),
        [
            (40, {"validation_fraction": 0.1}, True),
            (400, {"validation_fraction": 0.1}, False),  # enough are held out
            (10, {}, False),  # too few in all
            (400, {"validation_fraction": 0.01}, False),  # it would take long
        ],
    )
    def test_others_are_only_trained_where_that_is_quick_and_needed(
        self, pictures: int, changes: dict[str, Any], expected: bool
    ) -> None:
        sizes = trust.sizes_of(fitted(pictures, **changes))
        assert trust.trains_again(RECIPE, sizes) == expected
        told_before = loop.sizes(replace(RECIPE, **changes), colors(pictures), None)
        assert trust.trains_again(RECIPE, told_before) == expected

    @pytest.mark.parametrize("changes", [{"tune": "head"}, {"pretrained": "imagenet"}])
    def test_large_networks_are_not_trained_again(self, changes: dict[str, Any]) -> None:
        few = trust.sizes_of(fitted(40, validation_fraction=0.1))
        assert not trust.trains_again(replace(RECIPE, **changes), few)

    def test_without_a_method_the_energy_tells(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refused(*_: object) -> None:
            raise trusts.TrustError("the features are the same for all images")

        monkeypatch.setattr(trusts, "statistic_of", refused)
        found = trust.fit(fitted(40, validation_fraction=0.1), RECIPE, SPEC).fitted.trust
        assert found is not None
        assert found.familiarity is not None
        assert found.familiarity.method == "energy"


class TestHeadAlone:
    def head(self, pictures: int) -> Fitted:
        recipe = replace(RECIPE, tune="head", validation_fraction=0.2)
        return tuning.fit(recipe, colors(pictures), SPEC, CPU)

    def test_all_pictures_calibrate_by_cross_validation(self) -> None:
        of = self.head(30)
        found = trust.fit(of, RECIPE, SPEC)
        assert of.crossed is not None
        assert len(of.crossed) == 90
        assert found.fitted.trust is not None
        assert found.fitted.trust.calibration.images == 90
        assert "by cross-validation" in found.fitted.trust.calibration.source
        own = predicting.predict(of.network, of.trained_on, SPEC)
        assert not torch.allclose(of.crossed.logits.float(), own, atol=1e-3)

    def test_twenty_are_too_few(self) -> None:
        found = trust.fit(self.head(7), RECIPE, SPEC)
        assert found.fitted.trust is None
        assert "21 images" in found.text
        assert str(trusts.LEAST_IMAGES) in found.text

    def test_pictures_for_validation_that_are_there_calibrate(self) -> None:
        recipe = replace(RECIPE, tune="head")
        of = tuning.fit(recipe, colors(30), SPEC, CPU, validation=colors(20, seed=4))
        found = trust.fit(of, recipe, SPEC)
        assert found.fitted.trust is not None
        assert found.fitted.trust.calibration.images == 60
        assert "selected" not in found.fitted.trust.calibration.source
