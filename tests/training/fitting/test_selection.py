"""Which weights a training keeps: those of an epoch, or their mean."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.networks import SPEC
from tests.training.fitting.conftest import PLAIN, Register
from tests.training.fitting.test_loop import CPU, Scripted, fit, same_weights
from tests.training.pictures import RECIPE, colors
from training.fitting import loop, predicting
from training.fitting.loop import Hooks
from training.fitting.state import Training


class TestSelection:
    @pytest.mark.parametrize(
        ("strengths", "selected"),
        [
            ([-1, 1, -1, -1], 2),
            ([1, -1, -1, -1], 1),
            ([-1, -1, -1, 1], 4),
            ([1, 2, 4, 3], 3),
            ([1, 1, 1, 1], 4),
        ],
        ids=["best", "first", "last", "of equals the lowest loss", "of all equal the last"],
    )
    def test_the_epoch_that_validates_best(
        self, recipe_of: Register, strengths: list[float], selected: int
    ) -> None:
        recipe = replace(
            recipe_of(lambda _: Scripted(strengths)),
            epochs=4,
            batch_size=1000,
            learning_rate=1e-12,
            validation_fraction=0.25,
        )
        fitted = loop.fit(recipe, colors(), PLAIN, CPU)
        assert fitted.selected is fitted.history[selected - 1]
        assert fitted.network.get_buffer("steps").item() == selected
        assert [round(e.validation.accuracy) for e in fitted.history if e.validation] == [
            int(strength > 0) for strength in strengths
        ]

    def test_without_validation_the_last(self, recipe_of: Register) -> None:
        recipe = replace(
            recipe_of(lambda _: Scripted([1, -1, -1])),
            epochs=3,
            batch_size=1000,
            validation_fraction=0,
        )
        fitted = loop.fit(recipe, colors(), PLAIN, CPU)
        assert fitted.selected is fitted.history[2]
        assert fitted.selected.validation is None
        assert fitted.network.get_buffer("steps").item() == 3

    def test_the_network_is_in_evaluation_mode(self) -> None:
        assert not fit(replace(RECIPE, validation_fraction=0)).network.training

    def test_the_last_if_the_recipe_says_so(self, recipe_of: Register) -> None:
        recipe = replace(
            recipe_of(lambda _: Scripted([1, 1, -1])),
            epochs=3,
            batch_size=1000,
            validation_fraction=0.25,
            selection="last",
        )
        fitted = loop.fit(recipe, colors(), PLAIN, CPU)
        assert fitted.selected is fitted.history[2]
        assert [epoch.validation is not None for epoch in fitted.history] == [True] * 3
        assert fitted.network.get_buffer("steps").item() == 3

    def test_the_best_may_lie_before_a_break(self, recipe_of: Register) -> None:
        recipe = replace(
            recipe_of(lambda _: Scripted([1, 2, -1, -1])),
            epochs=4,
            batch_size=1000,
            learning_rate=1e-12,
            validation_fraction=0.25,
        )
        states: list[dict[str, Any]] = []
        hooks = Hooks(on_state=lambda state: states.append(copy.deepcopy(state)))
        loop.fit(recipe, colors(), PLAIN, CPU, hooks)
        resumed = loop.fit(recipe, colors(), PLAIN, CPU, state=states[2])
        assert resumed.selected is resumed.history[1]
        assert resumed.network.get_buffer("steps").item() == 2


class TestAveraging:
    """The moving average of the weights is what is validated and kept."""

    RECIPE = replace(RECIPE, optimizer="sgd", learning_rate=0.1, batch_size=100, averaging=0.9)

    def test_each_step_moves_it_by_its_decay(self) -> None:
        train = colors(4)
        training = Training(self.RECIPE, train, SPEC, CPU, torch.Generator().manual_seed(0))
        expected: dict[str, Tensor] = {}
        for _ in range(4):
            loop.train_one_epoch(training, train, SPEC)  # one step
            for name, value in training.network.state_dict().items():
                before = expected.get(name, value)  # the average begins with the first step's
                expected[name] = 0.9 * before + 0.1 * value
        kept = training.kept_network()
        assert kept is not training.network
        for name, value in kept.state_dict().items():
            torch.testing.assert_close(value, expected[name])

    def test_it_is_what_is_validated_and_kept(self) -> None:
        train = colors(20)
        fitted = fit(replace(self.RECIPE, epochs=3, validation_fraction=0.2), train)
        _, held_out = train.hold_out(0.2, torch.Generator().manual_seed(RECIPE.seed))
        assert fitted.selected.validation == predicting.evaluate(fitted.network, held_out, SPEC)
        plain = fit(replace(self.RECIPE, epochs=3, validation_fraction=0.2, averaging=0), train)
        assert [epoch.train for epoch in fitted.history] == [e.train for e in plain.history]
        assert not same_weights(fitted.network, plain.network)

    def test_statistics_of_batches_are_averaged_too(self) -> None:
        recipe = replace(self.RECIPE, architecture="convnet", arguments={"widths": [4]})
        train = colors(4)
        training = Training(recipe, train, SPEC, CPU, torch.Generator().manual_seed(0))
        means = []
        for _ in range(2):
            loop.train_one_epoch(training, train, SPEC)
            means.append(training.network.get_buffer("blocks.0.bn1.running_mean").clone())
        kept = training.kept_network().get_buffer("blocks.0.bn1.running_mean")
        torch.testing.assert_close(kept, 0.9 * means[0] + 0.1 * means[1])

    def test_without_it_the_network_itself_is_kept(self) -> None:
        generator = torch.Generator().manual_seed(0)
        training = Training(RECIPE, colors(4), SPEC, CPU, generator)
        assert training.kept_network() is training.network
