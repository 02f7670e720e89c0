"""The head is fit first, and all layers are trained where that validates better."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.architectures import registry
from models.errors import OptionError
from models.preprocessing import InputSpec
from tests.networks import SPEC
from tests.training.pictures import colors
from training.data.datasets import ImageSet
from training.data.storage import Storage
from training.fitting import evaluation, predicting, state, tuning
from training.fitting.evaluation import Metrics
from training.fitting.loop import Hooks
from training.fitting.start import head
from training.fitting.state import Epoch, Fitted
from training.recipes.recipe import Recipe

CPU = torch.device("cpu")
RECIPE = Recipe(
    "colors", "colors", "tiny", 4, 8, "adam", 0.02, tune="head-first", validation_fraction=0.25
)


@pytest.fixture(autouse=True)
def _one_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cross-validate by one split, to take less time."""
    monkeypatch.setattr(head, "REPEATS", 1)


def shuffled(pictures: int = 12) -> ImageSet:
    """Colours whose targets say nothing, so that no head is right."""
    images = colors(pictures)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return replace(images, targets=images.targets[order])


def start(recipe: Recipe, num_classes: int = 3) -> dict[str, Tensor]:
    """The weights that the training of the recipe begins with."""
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        return state.build_network(recipe, num_classes, CPU).state_dict()


def fit(recipe: Recipe, train: ImageSet, **arguments: Any) -> Fitted:
    return tuning.fit(recipe, train, SPEC, CPU, **arguments)


class Viewing(nn.Module):
    """Takes its maps for contiguous, as many networks do."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4 * 36, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.conv(x)
        logits: Tensor = self.fc(maps.view(len(maps), -1))
        return logits


class TestHead:
    def test_maps_are_laid_out_as_the_network_takes_them(self) -> None:
        with registry.ARCHITECTURES.restored():
            registry.register("viewing", SPEC)(lambda num_classes: Viewing(num_classes))
            fitted = fit(replace(RECIPE, architecture="viewing", tune="head"), colors(4))
        assert fitted.is_frozen

    def test_the_layers_before_it_stay(self) -> None:
        fitted = fit(replace(RECIPE, tune="head"), colors(12))
        before, after = start(RECIPE), fitted.network.state_dict()
        assert torch.equal(before["conv.weight"], after["conv.weight"])
        assert not torch.equal(before["fc.weight"], after["fc.weight"])
        assert predicting.evaluate(fitted.network, colors(12, seed=1), SPEC).accuracy == 1

    def test_it_is_fit_to_all_pictures_and_cross_validated(self) -> None:
        fitted = fit(replace(RECIPE, tune="head"), colors(12))
        assert len(fitted.trained_on) == fitted.validated == 36
        assert fitted.is_crossed
        assert [epoch.number for epoch in fitted.history] == [1]
        found = predicting.evaluate(fitted.network, fitted.trained_on, SPEC)
        assert fitted.selected.train.loss == pytest.approx(found.loss, abs=1e-5)
        assert not fitted.network.training

    def test_it_is_the_same_if_the_pixels_are_in_a_file(self, tmp_path: Path) -> None:
        pixels, _ = Storage(tmp_path, stream=True).keep(colors(12).in_memory, "colors")
        fitted = fit(replace(RECIPE, tune="head"), replace(colors(12), images=pixels))
        expected = fit(replace(RECIPE, tune="head"), colors(12)).network.state_dict()
        weights = fitted.network.state_dict()
        assert all(torch.equal(weights[name], expected[name]) for name in expected)

    def test_pictures_for_validation_are_not_fit_to(self) -> None:
        train, validation = colors(12), colors(4, seed=1)
        fitted = fit(RECIPE, train, validation=validation)
        assert torch.equal(fitted.trained_on.in_memory, train.in_memory)
        assert (fitted.validated, fitted.is_crossed) == (12, False)
        checked = predicting.evaluate(fitted.network, validation, SPEC)
        assert fitted.selected.validation is not None
        assert fitted.selected.validation.loss == pytest.approx(checked.loss, abs=1e-5)

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({}, "it takes 0 of 9 pictures held out for another class"),
            ({"tune": "head"}, "as tune says"),
            ({"epochs": 1}, "epochs leaves none"),
            ({"validation_fraction": 0}, "no picture is held out"),
        ],
    )
    def test_it_says_why_no_other_layer_is_trained(
        self, changes: dict[str, Any], reason: str
    ) -> None:
        fitted = fit(replace(RECIPE, **changes), colors(12))
        assert fitted.note is not None
        assert reason in fitted.note
        assert len(fitted.history) == 1

    def test_balanced_classes_weigh_the_same(self) -> None:
        """Of 20 pictures of one class and 2 of another that look the same, the rare one wins more
        often than with the plain loss, which never says it."""
        grey = torch.full((22, 3, 8, 8), 100, dtype=torch.uint8)
        grey += torch.arange(22, dtype=torch.uint8)[:, None, None, None] % 5
        targets = torch.tensor([0] * 20 + [1] * 2)
        images = ImageSet(grey, targets, ("common", "rare"))
        scores = []
        for class_weights in ("none", "balanced"):
            recipe = replace(RECIPE, tune="head", class_weights=class_weights)
            logits = predicting.predict(fit(recipe, images).network, images, SPEC)
            scores.append(logits.softmax(1)[:, 1].mean().item())
        assert scores == pytest.approx([2 / 22, 1 / 2], abs=0.05)

    def test_a_network_without_a_linear_head_says_so(self) -> None:
        recipe = replace(RECIPE, architecture="torchvision/squeezenet1_1")
        with pytest.raises(OptionError, match=r"does not end in a linear layer.*--tune all"):
            tuning.fit(recipe, colors(4), sized(64), CPU)

    def test_everything_held_out(self) -> None:
        with pytest.raises(OptionError, match="every picture is held out"):
            fit(replace(RECIPE, validation_fraction=0.9), colors(1))


def sized(side: int) -> InputSpec:
    return SPEC.model_copy(update={"height": side, "width": side})


class TestAllLayers:
    def test_they_are_trained_where_the_head_is_often_wrong(self) -> None:
        notes: list[str] = []
        fitted = fit(RECIPE, shuffled(), hooks=Hooks(on_note=notes.append))
        assert [epoch.number for epoch in fitted.history] == [1, 2, 3, 4]
        assert "all layers are trained, 3 epochs in about " in notes[0]
        assert fitted.validated == 9
        assert fitted.selected.validation is not None

    def test_the_statistics_of_batch_normalisation_stay(self) -> None:
        """The head was fit to features that these gave."""
        arguments = {"widths": [4]}
        recipe = replace(RECIPE, architecture="convnet", arguments=arguments, averaging=0.5)
        fitted = fit(recipe, shuffled())
        assert len(fitted.history) == 4
        before, after = start(recipe), fitted.network.state_dict()
        means = [name for name in after if name.endswith("running_mean")]
        assert means
        assert all(torch.equal(before[name], after[name]) for name in means)

    @pytest.mark.parametrize(
        ("accuracy", "expected"), [(0.50, False), (0.54, False), (0.56, True), (0.9, True)]
    )
    def test_a_gain_within_the_standard_error_does_not_pay(
        self, accuracy: float, expected: bool
    ) -> None:
        """Of 100 pictures half are right: the standard error is 0.05."""
        first = Epoch(1, Metrics(1, 0.5), Metrics(1, 0.5))
        later = Epoch(3, Metrics(1, 0.5), Metrics(1, accuracy))
        assert tuning.pays(RECIPE, first, later, 100) is expected

    def test_the_best_epoch_is_kept(self) -> None:
        fitted = fit(replace(RECIPE, epochs=12), shuffled())
        best = max(epoch.validation.accuracy for epoch in fitted.history if epoch.validation)
        assert fitted.selected.validation is not None
        assert fitted.note is not None
        assert fitted.selected.number == 1 or fitted.selected.validation.accuracy == best
        is_head = fitted.selected.number == 1
        assert fitted.note.startswith("the head alone is kept" if is_head else "all layers were")

    def test_a_head_that_is_kept_is_fit_to_all_pictures(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With a rate that destroys the network, the head of epoch 1 is the best."""
        monkeypatch.setattr(tuning, "LEAST_MISTAKES", 0)
        recipe = replace(RECIPE, optimizer="sgd", learning_rate=1e6)
        fitted = fit(recipe, colors(12))
        assert fitted.selected.number == 1
        assert len(fitted.trained_on) == 36
        found = fitted.network.get_parameter("conv.weight")
        assert torch.equal(found, start(RECIPE)["conv.weight"])
        alone = fit(replace(RECIPE, tune="head"), colors(12)).network
        for name, value in alone.state_dict().items():
            assert torch.allclose(fitted.network.state_dict()[name], value, atol=1e-5), name

    def test_a_moving_average_begins_with_the_head(self) -> None:
        fitted = fit(replace(RECIPE, averaging=0.5), shuffled())
        first, before = fitted.history[0].validation, fit(RECIPE, shuffled()).history[0].validation
        assert first == before
        head_only = fit(replace(RECIPE, averaging=0.5, tune="head"), colors(12))
        assert predicting.evaluate(head_only.network, colors(12, seed=1), SPEC).accuracy == 1


class TestSameWeights:
    @pytest.mark.parametrize("images", [colors(12), shuffled()], ids=["head", "all layers"])
    def test_the_same_recipe_gives_the_same_weights(self, images: ImageSet) -> None:
        one, other = (fit(RECIPE, images).network.state_dict() for _ in range(2))
        assert all(torch.equal(one[name], other[name]) for name in one)

    @pytest.mark.parametrize("stopped_after", [1, 2, 3])
    def test_a_broken_off_training_goes_on_to_the_same_weights(self, stopped_after: int) -> None:
        states: list[dict[str, Any]] = []

        def keep(state: dict[str, Any]) -> None:
            states.append(copy.deepcopy(state))

        whole = fit(RECIPE, shuffled(), hooks=Hooks(on_state=keep))
        epochs: list[int] = []
        hooks = Hooks(on_epoch=lambda epoch: epochs.append(epoch.number))
        resumed = fit(RECIPE, shuffled(), hooks=hooks, state=states[stopped_after - 1])
        assert epochs == list(range(stopped_after + 1, 5))
        one, other = whole.network.state_dict(), resumed.network.state_dict()
        assert all(torch.equal(one[name], other[name]) for name in one)
        assert (whole.note, whole.validated) == (resumed.note, resumed.validated)

    def test_torchs_own_generator_goes_on_as_before(self) -> None:
        torch.manual_seed(3)
        expected = torch.rand(1)
        torch.manual_seed(3)
        fit(RECIPE, colors(8))
        assert torch.equal(torch.rand(1), expected)


def test_metrics_of_logits() -> None:
    logits, targets = torch.eye(3), torch.tensor([0, 1, 1])
    assert evaluation.metrics(logits, targets).accuracy == pytest.approx(2 / 3)
