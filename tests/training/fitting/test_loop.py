"""The training loop: the same recipe gives the same weights, and those of its best epoch."""

import copy
import math
from dataclasses import replace
from itertools import chain
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.errors import OptionError
from tests.networks import SPEC, Tiny
from tests.training.fitting.conftest import PLAIN, Register
from tests.training.pictures import RECIPE, colors, numbered
from training.data.datasets import ImageSet
from training.fitting import loop, optimization, predicting, state
from training.fitting.loop import Hooks
from training.fitting.processes import Processes
from training.fitting.state import Epoch, Fitted, Training
from training.recipes.recipe import Recipe

CPU = torch.device("cpu")


def fit(recipe: Recipe, train: ImageSet | None = None, **arguments: Any) -> Fitted:
    return loop.fit(recipe, train or colors(), SPEC, CPU, **arguments)


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    state, others = one.state_dict(), other.state_dict()
    return all(torch.equal(state[name], others[name]) for name in state)


class Recording(Tiny):
    """Remembers the numbers of the pictures that it saw, batch by batch, from training on."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.trained: list[list[int]] = []
        self.evaluated: list[list[int]] = []

    def forward(self, x: Tensor) -> Tensor:
        seen = self.trained if self.training else self.evaluated
        if self.training or self.trained:  # not those of the trial
            seen.append((x[:, 0, 0, 0] * 255).round().int().tolist())
        return super().forward(x)


class Edges(Tiny):
    """Remembers the first two levels of the first row of the pictures, from training on."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.trained: set[tuple[int, int]] = set()
        self.evaluated: set[tuple[int, int]] = set()

    def forward(self, x: Tensor) -> Tensor:
        seen = self.trained if self.training else self.evaluated
        first, second = (x[:, 0, 0, :2] * 255).round().int().unbind(1)
        if self.training or self.trained:  # not those of the trial
            seen.update(zip(first.tolist(), second.tolist(), strict=True))
        return super().forward(x)


class Scripted(nn.Module):
    """Knows the colours; after each step its logits have the strength that the script says.

    A negative strength makes every answer wrong.
    """

    def __init__(self, strengths: list[float]) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("strengths", torch.tensor([0.0, *strengths]))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.get_buffer("steps").add_(1)
        strength = self.get_buffer("strengths")[self.get_buffer("steps")]
        return x.mean((2, 3)) * self.scale * strength  # (N, 3)


class TestReproducibility:
    @pytest.mark.parametrize(
        "recipe",
        [
            RECIPE,
            replace(RECIPE, optimizer="sgd", l2=0.01),
            replace(RECIPE, flip=True, crop_padding=1),
            replace(RECIPE, precision="bfloat16"),
        ],
        ids=["adam", "sgd", "augmented", "bfloat16"],
    )
    def test_the_same_recipe_gives_the_same_weights(self, recipe: Recipe) -> None:
        first = fit(recipe)
        torch.rand(7)  # whatever happened to the global generator
        again = fit(recipe)
        assert same_weights(first.network, again.network)
        assert first.history == again.history

    def test_another_seed_gives_other_weights(self) -> None:
        assert not same_weights(fit(RECIPE).network, fit(replace(RECIPE, seed=1)).network)

    def test_the_seed_decides_dropout_too(self, recipe_of: Register) -> None:
        recipe = recipe_of(
            lambda n: nn.Sequential(nn.Dropout(0.5), nn.Flatten(), nn.Linear(192, n))
        )
        assert same_weights(fit(recipe).network, fit(recipe).network)

    def test_the_global_generator_is_left_as_it_was(self) -> None:
        before = torch.random.get_rng_state()
        fit(RECIPE)
        assert torch.equal(torch.random.get_rng_state(), before)

    def test_the_pictures_are_left_as_they_were(self) -> None:
        train = colors()
        fit(replace(RECIPE, flip=True, crop_padding=1), train)
        assert torch.equal(train.in_memory, colors().in_memory)
        assert torch.equal(train.targets, colors().targets)


class TestEpochs:
    def test_every_picture_is_used_in_each(self, recipe_of: Register) -> None:
        recipe = replace(recipe_of(Recording), epochs=3, validation_fraction=0)
        network = loop.fit(recipe, numbered(11), PLAIN, CPU).network
        assert isinstance(network, Recording)
        assert [len(batch) for batch in network.trained] == [4, 4, 3] * 3
        orders = [list(chain(*network.trained[i : i + 3])) for i in (0, 3, 6)]
        assert all(sorted(order) == list(range(11)) for order in orders)
        assert len({tuple(order) for order in orders}) == 3

    def test_a_single_picture_left_over_joins_the_batch_before(self, recipe_of: Register) -> None:
        recipe = replace(recipe_of(Recording), schedule="one-cycle", validation_fraction=0)
        fitted = loop.fit(recipe, numbered(9), PLAIN, CPU)
        assert isinstance(fitted.network, Recording)
        assert [len(batch) for batch in fitted.network.trained] == [4, 5] * 2
        single = replace(recipe, batch_size=1)
        assert loop.fit(single, numbered(3), PLAIN, CPU).history[-1].number == 2

    def test_held_out_pictures_are_never_trained_on(self, recipe_of: Register) -> None:
        recipe = replace(recipe_of(Recording), validation_fraction=0.25)
        network = loop.fit(recipe, numbered(12), PLAIN, CPU).network
        assert isinstance(network, Recording)
        trained, evaluated = (
            {number for batch in batches for number in batch}
            for batches in (network.trained, network.evaluated)
        )
        assert len(evaluated) == 3
        assert trained | evaluated == set(range(12))
        assert not trained & evaluated

    @pytest.mark.parametrize(
        ("fields", "edges"),
        [
            ({}, {(0, 1)}),
            ({"flip": True}, {(0, 1), (7, 6)}),
            ({"crop_padding": 1}, {(0, 1), (1, 0), (1, 2)}),
        ],
        ids=["neither", "flip", "crop"],
    )
    def test_only_training_pictures_are_augmented(
        self, recipe_of: Register, fields: dict[str, Any], edges: set[tuple[int, int]]
    ) -> None:
        columns = torch.arange(8, dtype=torch.uint8).expand(40, *SPEC.shape).contiguous()
        recipe = replace(recipe_of(Edges), **fields)
        train = ImageSet(columns, torch.arange(40) % 2, ("a", "b"))
        network = loop.fit(recipe, train, PLAIN, CPU).network
        assert isinstance(network, Edges)
        assert network.trained == edges
        assert network.evaluated == {(0, 1)}

    def test_steps_and_epochs_are_told(self) -> None:
        batches: list[int] = []
        epochs: list[Epoch] = []
        hooks = Hooks(on_batch=batches.append, on_epoch=epochs.append)
        fitted = fit(replace(RECIPE, batch_size=8), hooks=hooks)
        assert batches == [8, 8, 5, 8, 8, 5]  # 21 of 24 pictures: one of each class is held out
        assert epochs == fitted.history
        assert [epoch.number for epoch in epochs] == [1, 2]

    def test_validation_figures_are_those_of_the_held_out(self) -> None:
        train = colors(20)
        fitted = fit(replace(RECIPE, epochs=1, validation_fraction=0.2), train)
        _, held_out = train.hold_out(0.2, torch.Generator().manual_seed(RECIPE.seed))
        assert fitted.selected.validation == predicting.evaluate(fitted.network, held_out, SPEC)

    def test_training_figures_are_the_mean_over_pictures(self) -> None:
        train = colors(3)  # batches of 4, 4 and 1
        fitted = fit(replace(RECIPE, learning_rate=1e-12, validation_fraction=0), train)
        expected = predicting.evaluate(fitted.network, train, SPEC)
        assert fitted.selected.train.loss == pytest.approx(expected.loss, abs=1e-5)
        assert fitted.selected.train.accuracy == pytest.approx(expected.accuracy)

    def test_no_picture_left_to_train_on(self) -> None:
        with pytest.raises(ValueError, match="lower validation_fraction"):
            fit(replace(RECIPE, validation_fraction=0.9), colors(1))


class TestDivergence:
    """A loss that isn't finite makes all weights NaN: there is nothing to wait for."""

    def broken(self, recipe_of: Register, *strengths: float, **fields: Any) -> Fitted:
        recipe = recipe_of(lambda _: Scripted(list(strengths)))
        fields = {"epochs": 4, "batch_size": 1000, "learning_rate": 1e-12, **fields}
        recipe = replace(recipe, **fields)
        return loop.fit(recipe, colors(), PLAIN, CPU)

    def test_the_training_ends(self, recipe_of: Register) -> None:
        fitted = self.broken(recipe_of, 1, math.nan, 1, 1, validation_fraction=0)
        assert [math.isfinite(epoch.train.loss) for epoch in fitted.history] == [True, False]

    def test_also_when_it_goes_on(self, recipe_of: Register) -> None:
        states: list[dict[str, Any]] = []
        recipe = recipe_of(lambda _: Scripted([math.nan] * 2))
        recipe = replace(recipe, batch_size=1000, validation_fraction=0)
        hooks = Hooks(on_state=lambda state: states.append(copy.deepcopy(state)))
        loop.fit(recipe, colors(), PLAIN, CPU, hooks)
        again = loop.fit(recipe, colors(), PLAIN, CPU, state=states[-1])
        assert len(again.history) == 1

    def test_no_accuracy_is_told(self, recipe_of: Register) -> None:
        fitted = self.broken(recipe_of, math.nan, validation_fraction=0.25)
        metrics = fitted.selected.validation
        assert metrics is not None
        assert math.isnan(metrics.accuracy)
        assert math.isnan(metrics.loss)

    def test_an_epoch_before_is_selected(self, recipe_of: Register) -> None:
        fitted = self.broken(recipe_of, -1, math.nan, validation_fraction=0.25)
        assert fitted.selected.number == 1


class TestRate:
    def test_an_epoch_tells_the_rate_of_its_first_step(self) -> None:
        recipe = replace(RECIPE, epochs=4, batch_size=7, schedule="one-cycle")  # 3 steps each
        fitted = fit(recipe)
        rates = [epoch.learning_rate for epoch in fitted.history]
        falling = [0.01 * (12 - step) / 9.75 for step in (3, 6, 9)]
        assert rates == pytest.approx([0.01 / 25, *falling], rel=1e-4)

    def test_a_constant_one(self) -> None:
        assert [epoch.learning_rate for epoch in fit(RECIPE).history] == [0.01, 0.01]


class TestLearning:
    @pytest.mark.parametrize(
        "fields",
        [
            {"optimizer": "adam", "learning_rate": 0.05},
            {"optimizer": "sgd", "learning_rate": 0.3},
            {"optimizer": "adam", "learning_rate": 0.05, "flip": True, "crop_padding": 2},
            {"optimizer": "adam", "learning_rate": 0.05, "precision": "bfloat16"},
        ],
        ids=["adam", "sgd", "augmented", "bfloat16"],
    )
    def test_colors_are_learned(self, fields: dict[str, Any]) -> None:
        fitted = fit(replace(RECIPE, epochs=12, batch_size=8, **fields), colors(12))
        assert predicting.evaluate(fitted.network, colors(16, seed=1), SPEC).accuracy > 0.95
        assert fitted.history[-1].train.loss < fitted.history[0].train.loss / 2

    @pytest.mark.parametrize("l2", [0.0, 0.25])
    def test_l2_adds_its_gradient_to_that_of_the_cross_entropy(self, l2: float) -> None:
        train, rate = colors(4), 0.1
        recipe = replace(RECIPE, l2=l2, batch_size=len(train), optimizer="sgd", learning_rate=rate)
        training = Training(recipe, train, SPEC, CPU, torch.Generator().manual_seed(0))
        network = training.network
        F.cross_entropy(network(SPEC.normalize(train.in_memory)), train.targets).backward()
        expected = {
            name: parameter.detach() - rate * (parameter.grad + 2 * l2 * parameter.detach())
            for name, parameter in network.named_parameters()
            if parameter.grad is not None
        }
        loop.train_one_epoch(training, train, SPEC)
        assert len(expected) == 4
        for name, parameter in network.named_parameters():
            torch.testing.assert_close(parameter.detach(), expected[name])

    def test_the_penalty_is_no_part_of_the_figures(self) -> None:
        plain, penalized = (
            fit(replace(RECIPE, l2=l2, epochs=1, batch_size=1000)) for l2 in (0.0, 10.0)
        )
        assert penalized.selected.train == plain.selected.train


def kept_in(states: list[dict[str, Any]]) -> Hooks:
    """Hooks that keep the state after each epoch as it was then."""
    return Hooks(on_state=lambda state: states.append(copy.deepcopy(state)))


def test_float16_scales_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """The arithmetic is tried on a CPU, where it is slow; a user is refused there."""
    recipe = replace(RECIPE, epochs=6, precision="float16")
    with pytest.raises(OptionError, match=r"float16 is for GPUs.* take float32, or bfloat16"):
        loop.fit(recipe, colors(8), SPEC, CPU)
    monkeypatch.setattr(optimization, "check_precision", lambda recipe, device: None)
    states: list[dict[str, Any]] = []
    fitted = loop.fit(
        recipe,
        colors(8),
        SPEC,
        CPU,
        Hooks(on_state=lambda state: states.append(copy.deepcopy(state))),
    )
    assert fitted.history[-1].train.loss < fitted.history[0].train.loss / 2
    assert states[0]["scaler"]["scale"] > 1
    again = loop.fit(recipe, colors(8), SPEC, CPU, state=states[2])
    assert again.history == fitted.history


@pytest.mark.gpu
class TestGpu:
    DEVICE = torch.device("cuda", 0)

    def test_colors_are_learned_there(self) -> None:
        recipe = replace(RECIPE, epochs=12, learning_rate=0.05, flip=True, crop_padding=2)
        fitted = loop.fit(recipe, colors(16), SPEC, self.DEVICE)
        assert {parameter.device for parameter in fitted.network.parameters()} == {self.DEVICE}
        figures = predicting.evaluate(fitted.network, colors(16, seed=1).to(self.DEVICE), SPEC)
        assert figures.accuracy > 0.95

    @pytest.mark.parametrize("precision", ["bfloat16", "float16"])
    def test_half_precision_learns_and_goes_on(
        self, precision: Literal["bfloat16", "float16"]
    ) -> None:
        recipe = replace(RECIPE, epochs=12, learning_rate=0.05, precision=precision)
        states: list[dict[str, Any]] = []
        fitted = loop.fit(
            recipe,
            colors(16),
            SPEC,
            self.DEVICE,
            Hooks(on_state=lambda state: states.append(copy.deepcopy(state))),
        )
        assert {parameter.dtype for parameter in fitted.network.parameters()} == {torch.float32}
        figures = predicting.evaluate(fitted.network, colors(16, seed=1).to(self.DEVICE), SPEC)
        assert figures.accuracy > 0.95
        assert bool(states[-1]["scaler"]) == (precision == "float16")
        resumed = loop.fit(recipe, colors(16), SPEC, self.DEVICE, state=states[5])
        assert len(resumed.history) == len(fitted.history)

    def test_logits_equal_those_of_the_cpu(self) -> None:
        network = state.build_network(RECIPE, 3, CPU)
        expected = predicting.predict(network, colors(), SPEC)
        logits = predicting.predict(network.to(self.DEVICE), colors().to(self.DEVICE), SPEC)
        torch.testing.assert_close(logits.cpu(), expected, atol=1e-2, rtol=1e-2)

    def test_its_generator_is_left_as_it_was(self) -> None:
        before = torch.cuda.get_rng_state(self.DEVICE)
        loop.fit(RECIPE, colors(), SPEC, self.DEVICE)
        assert torch.equal(torch.cuda.get_rng_state(self.DEVICE), before)


def test_statistics_are_averaged_in_one_order_in_all_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else one process would add up the network with the moving average of another."""
    seen: list[nn.Module] = []
    monkeypatch.setattr(Processes, "average_statistics", lambda _, network: seen.append(network))
    kept: list[nn.Module] = []
    finish = Training.finish

    def finished(training: Training, epoch: Epoch) -> None:
        kept[:] = training.network, training.kept_network()
        finish(training, epoch)

    monkeypatch.setattr(Training, "finish", finished)
    for _ in range(8):  # networks lie anywhere in memory
        seen.clear()
        fit(replace(RECIPE, epochs=1, averaging=0.9))
        assert kept[0] is not kept[1]
        assert [id(each) for each in seen] == [id(each) for each in kept]
