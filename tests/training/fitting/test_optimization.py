"""How weights move: by hand for one step, and the learning rate over a whole training."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.networks import Tiny
from tests.training.pictures import colors
from training.fitting.optimization import Schedule, build_optimizer, loss_function, penalty
from training.recipes.recipe import Recipe

ADAM = Recipe("colors", "colors", "tiny", 2, 4, "adam", 0.01)
SGD = replace(ADAM, optimizer="sgd", learning_rate=0.1)


class Weights(nn.Module):
    """Nothing but the parameters of a test."""

    def __init__(self, *values: list[float]) -> None:
        super().__init__()
        self.values = nn.ParameterList(nn.Parameter(torch.tensor(each)) for each in values)

    def step(self, recipe: Recipe, *gradients: float) -> list[float]:
        """The first value after each step with such a gradient."""
        optimizer = build_optimizer(recipe, self)
        history = []
        for gradient in gradients:
            for value in self.values:
                value.grad = torch.full_like(value, gradient)
            optimizer.step()
            history.append(self.values[0][0].item())
        return history

    def pull(self, recipe: Recipe) -> list[list[float]]:
        """The gradients of the recipe's penalty."""
        term = penalty(recipe, self)
        assert term is not None
        term.backward()
        return [value.grad.tolist() for value in self.values if value.grad is not None]


class TestOptimizer:
    def test_sgd_follows_the_gradient(self) -> None:
        assert Weights([1.0]).step(SGD, 2.0, 2.0) == pytest.approx([0.8, 0.6])

    def test_momentum_is_nesterovs(self) -> None:
        # v = 0.5 v + g; p -= 0.1 (g + 0.5 v), with v = 2, then 3
        expected = [1 - 0.1 * (2 + 0.5 * 2), 1 - 0.1 * (2 + 0.5 * 2) - 0.1 * (2 + 0.5 * 3)]
        assert Weights([1.0]).step(replace(SGD, momentum=0.5), 2.0, 2.0) == pytest.approx(expected)

    def test_weight_decay_adds_to_the_gradient(self) -> None:
        decaying = replace(SGD, weight_decay=0.5)
        assert Weights([4.0]).step(decaying, 1.0) == pytest.approx([4 - 0.1 * (1 + 0.5 * 4)])

    def test_adam_steps_by_its_rate_at_first(self) -> None:
        assert Weights([1.0]).step(ADAM, 50.0) == pytest.approx([0.99])
        assert Weights([1.0]).step(replace(ADAM, weight_decay=1.0), -0.5) == pytest.approx([0.99])

    def test_frozen_parameters_are_left_out(self) -> None:
        network = Tiny(3)
        network.conv.weight.requires_grad_(False)
        (group,) = build_optimizer(replace(SGD, weight_decay=0.5), network).param_groups
        frozen = network.conv.weight
        assert [p.shape for p in group["params"]] == [
            p.shape for p in network.parameters() if p is not frozen
        ]
        assert all(p is not frozen for p in group["params"])

    def test_a_rate_that_is_not_chosen_yet(self) -> None:
        with pytest.raises(ValueError, match="no learning_rate yet"):
            build_optimizer(replace(SGD, learning_rate=None), Tiny(3))


class TestSchedule:
    def rates(self, name: Any, steps: int, recipe: Recipe = SGD) -> list[float]:
        """The rate of each step, and that which stands after the last."""
        network = Weights([1.0])
        optimizer = build_optimizer(replace(recipe, schedule=name), network)
        schedule = Schedule(replace(recipe, schedule=name), optimizer, steps)
        rates = [optimizer.param_groups[0]["lr"]]
        for _ in range(steps):
            optimizer.step()
            schedule.after_step()
            rates.append(optimizer.param_groups[0]["lr"])
        return rates

    @pytest.mark.parametrize("recipe", [ADAM, SGD], ids=["adam", "sgd"])
    def test_one_cycle_rises_for_a_quarter_and_falls_to_zero(self, recipe: Recipe) -> None:
        highest = recipe.learning_rate or 0
        rates = self.rates("one-cycle", 399, recipe)
        peak = rates.index(max(rates))
        assert peak == 99
        assert max(rates) == pytest.approx(highest)
        assert rates[0] < highest / 20
        assert rates[peak // 2] == pytest.approx(highest / 2, rel=0.1)  # a straight line up
        assert rates[(peak + 399) // 2] == pytest.approx(highest / 2, rel=0.1)  # and down
        assert 0 <= rates[399] < highest / 1e4
        assert rates[: peak + 1] == sorted(rates[: peak + 1])
        assert rates[peak:] == sorted(rates[peak:], reverse=True)

    @pytest.mark.parametrize("steps", range(1, 9))
    def test_one_cycle_of_a_few_steps(self, steps: int) -> None:
        rates = self.rates("one-cycle", steps)
        assert max(rates) <= 0.1
        assert rates[-1] < 1e-5
        assert steps < 3 or max(rates) > 0.05

    def test_cosine_falls_to_zero(self) -> None:
        rates = self.rates("cosine", 100)
        expected = [0.05 * (1 + math.cos(math.pi * step / 100)) for step in range(101)]
        assert rates == pytest.approx(expected, abs=1e-9)

    def test_constant(self) -> None:
        assert set(self.rates("constant", 5)) == {0.1}

    def test_plateau_halves_after_an_epoch_without_a_lower_loss(self) -> None:
        rates = self.plateau([1.0, 0.9, 0.9, 0.8, 0.85, 0.79, 0.7999])
        assert rates == [0.1, 0.1, 0.05, 0.05, 0.025, 0.025, 0.0125]

    def test_less_than_a_thousandth_is_no_lower_loss(self) -> None:
        assert self.plateau([1.0, 0.9995, 0.998]) == [0.1, 0.05, 0.05]

    def test_plateau_ends_at_a_hundred_thousandth(self) -> None:
        assert self.plateau([1.0] * 20)[-3:] == [pytest.approx(1e-5)] * 3

    def test_plateau_waits_where_nothing_was_measured(self) -> None:
        assert self.plateau([None, None]) == [0.1, 0.1]

    def plateau(self, losses: list[Any]) -> list[float]:
        """The rate after each epoch with such a validation loss; steps don't matter."""
        recipe = replace(SGD, schedule="plateau")
        optimizer = build_optimizer(recipe, Weights([1.0]))
        schedule = Schedule(recipe, optimizer, steps=10)
        rates = []
        for loss in losses:
            optimizer.step()
            schedule.after_step()
            schedule.after_epoch(loss)
            rates.append(optimizer.param_groups[0]["lr"])
        return rates

    @pytest.mark.parametrize("name", ["constant", "plateau", "one-cycle", "cosine"])
    def test_it_goes_on_from_its_state(self, name: Any) -> None:
        recipe = replace(SGD, schedule=name)
        rates = []
        for broken_off in (False, True):
            optimizer = build_optimizer(recipe, Weights([1.0]))
            schedule = Schedule(recipe, optimizer, steps=8)
            for step in range(8):
                if broken_off and step == 5:
                    states = optimizer.state_dict(), schedule.state_dict()
                    optimizer = build_optimizer(recipe, Weights([1.0]))
                    schedule = Schedule(recipe, optimizer, steps=8)
                    optimizer.load_state_dict(states[0])
                    schedule.load_state_dict(states[1])
                optimizer.step()
                schedule.after_step()
                schedule.after_epoch(1.0)
            rates.append(optimizer.param_groups[0]["lr"])
        assert rates[0] == rates[1]


class TestLoss:
    LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0]])
    TARGETS = torch.tensor([0, 2])

    def loss(self, **fields: Any) -> Tensor:
        return loss_function(replace(ADAM, **fields), colors(4))(self.LOGITS, self.TARGETS)

    def test_cross_entropy(self) -> None:
        expected = F.cross_entropy(self.LOGITS, self.TARGETS)
        torch.testing.assert_close(self.loss(), expected)

    def test_smoothing_spreads_a_part_of_the_target(self) -> None:
        smooth = torch.full((2, 3), 0.3 / 3)
        smooth[[0, 1], self.TARGETS] += 0.7
        expected = -(smooth * self.LOGITS.log_softmax(1)).sum(1).mean()
        torch.testing.assert_close(self.loss(label_smoothing=0.3), expected)

    def test_balanced_weights_are_those_of_rare_classes(self) -> None:
        train = colors(4)
        uneven = train.subset(torch.tensor([0, 1, 2, 3, 4, 5, 8, 9]))  # 4, 2 and 2 pictures
        loss = loss_function(replace(ADAM, class_weights="balanced"), uneven)
        each = F.cross_entropy(self.LOGITS, self.TARGETS, reduction="none")
        torch.testing.assert_close(
            loss(self.LOGITS, self.TARGETS), (1 * each[0] + 2 * each[1]) / (1 + 2)
        )

    def test_balanced_weights_leave_the_smoothed_target_as_it_is(self) -> None:
        """The loss is least where the answer is the smoothed target, in a rare class too."""
        train = colors(4).subset(torch.arange(10))  # 4, 4 and 2 pictures
        smooth = replace(ADAM, class_weights="balanced", label_smoothing=0.3)
        targets = torch.tensor([0, 1, 2])
        expected = torch.full((3, 3), 0.1) + 0.7 * torch.eye(3)
        logits = expected.log().requires_grad_()
        loss_function(smooth, train)(logits, targets).backward()
        assert logits.grad is not None
        torch.testing.assert_close(logits.grad, torch.zeros(3, 3), atol=1e-7, rtol=0)

    def test_balanced_weights_of_classes_alike_change_nothing(self) -> None:
        torch.testing.assert_close(self.loss(class_weights="balanced"), self.loss())

    def test_a_class_that_was_held_out_altogether(self) -> None:
        uneven = colors(4).subset(torch.arange(8))  # no picture of the third class
        loss = loss_function(replace(ADAM, class_weights="balanced"), uneven)
        assert loss(self.LOGITS, self.TARGETS).isfinite()


class TestPenalty:
    def test_there_is_none(self) -> None:
        assert penalty(ADAM, Tiny(3)) is None

    def test_l1(self) -> None:
        pull = Weights([3.0, -4.0], [2.0]).pull(replace(ADAM, l1=0.1))
        assert pull == [pytest.approx([0.1, -0.1]), pytest.approx([0.1])]

    def test_l2(self) -> None:
        pull = Weights([3.0, -4.0], [2.0]).pull(replace(ADAM, l2=0.1))
        assert pull == [pytest.approx([0.6, -0.8]), pytest.approx([0.4])]

    def test_l2_norm_is_that_of_each_tensor(self) -> None:
        pull = Weights([3.0, -4.0], [2.0]).pull(replace(ADAM, l2_norm=0.1))
        assert pull == [pytest.approx([0.06, -0.08]), pytest.approx([0.1])]

    def test_a_norm_has_no_slope_at_zero(self) -> None:
        assert Weights([0.0, 0.0], [1.0]).pull(replace(ADAM, l2_norm=0.1)) == [
            [0.0, 0.0],
            pytest.approx([0.1]),
        ]

    def test_they_add_up(self) -> None:
        both = penalty(replace(ADAM, l1=0.1, l2=0.01, l2_norm=1.0), Weights([3.0, -4.0], [2.0]))
        assert both is not None
        assert both.item() == pytest.approx(0.1 * 9 + 0.01 * 29 + (5 + 2))
