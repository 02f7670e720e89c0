"""Figures between the steps: they are right, and the training takes the same course with them."""

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architectures import registry
from models.errors import DamagedFileError
from models.preprocessing import InputSpec
from tests.networks import SPEC, Tiny
from tests.training.pictures import RECIPE, colors, numbered
from training.data.datasets import ImageSet
from training.fitting import evaluation, loop, optimization, predicting, state, tuning
from training.fitting.evaluation import Metrics
from training.fitting.loop import Hooks
from training.fitting.records import steps
from training.fitting.records.run_folder import Run
from training.fitting.records.steps import Step, StepPlan, StepRecord
from training.fitting.state import Epoch, Fitted, Training
from training.recipes.recipe import Recipe

CPU = torch.device("cpu")
PLAIN = replace(RECIPE, validation_fraction=0)  # 24 pictures, 6 steps an epoch
LARGE = InputSpec(channels=3, height=32, width=32)


def record(every: int, test: int = 0, spec: InputSpec = SPEC, **arguments: Any) -> StepRecord:
    images = colors(seed=1).subset(torch.arange(test))
    if spec.height != 8:
        images = enlarged(images)
    return StepRecord(StepPlan(every, test), images, spec, **arguments)


def enlarged(images: ImageSet) -> ImageSet:
    return replace(images, images=F.interpolate(images.in_memory, size=32))


def fit(recipe: Recipe, record: StepRecord | None, **arguments: Any) -> Fitted:
    hooks = Hooks(record=record, **arguments.pop("hooks", {}))
    return loop.fit(recipe, colors(), SPEC, CPU, hooks, **arguments)


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    state, others = one.state_dict(), other.state_dict()
    return all(torch.equal(state[name], others[name]) for name in state)


def numbers_of(rows: Sequence[Step]) -> list[tuple[int, int]]:
    return [(row.number, row.epoch) for row in rows]


class Noisy(Tiny):
    """Draws a random number for each batch, in evaluation too."""

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = super().forward(x)
        return logits + torch.rand(1) / 10


class TestRows:
    def test_there_is_one_before_the_first_step_each_n_and_after_the_last(self) -> None:
        found = record(4, test=3)
        fit(PLAIN, found)
        assert numbers_of(found.rows) == [(0, 0), (4, 1), (8, 2), (12, 2)]

    def test_the_last_step_has_one_though_it_is_no_multiple(self) -> None:
        found = record(5)
        fit(PLAIN, found)
        assert numbers_of(found.rows) == [(5, 1), (10, 2), (12, 2)]

    def test_a_last_batch_that_is_smaller_is_a_step(self) -> None:
        found = record(1)
        fit(replace(PLAIN, batch_size=10, epochs=1), found)
        assert numbers_of(found.rows) == [(1, 1), (2, 1), (3, 1)]

    def test_fewer_steps_than_n_are_told(self) -> None:
        notes: list[str] = []
        found = record(100, test=3, on_note=notes.append)
        fit(PLAIN, found)
        assert numbers_of(found.rows) == [(0, 0), (12, 2)]
        assert notes == [
            "the training has 12 steps, fewer than --evaluate-every-steps 100: there are figures "
            "of its end alone, and of its start"
        ]

    def test_each_is_heard_of(self) -> None:
        heard: list[Step] = []
        plan = StepPlan(6, 0, heard.append)
        found = StepRecord(plan, colors().subset(torch.arange(0)), SPEC)
        fit(PLAIN, found)
        assert heard == found.rows


class TestLoss:
    @pytest.mark.parametrize("others", [None, replace(numbered(13, 2), labels=("cat", "dog"))])
    @pytest.mark.parametrize("smoothing", [0.0, 0.3])
    def test_the_mean_over_an_epoch_is_that_of_the_history(
        self, others: ImageSet | None, smoothing: float
    ) -> None:
        """Cross-entropy alone, and of the network's own classes, as the history's."""
        recipe = replace(PLAIN, label_smoothing=smoothing, l2=0.01)
        count = 6 if others is None else 9  # 37 pictures by 4; the last batch of one is joined
        found = record(count)
        fitted = fit(recipe, found, strangers=others)
        assert len(found.rows) == len(fitted.history) == 2
        for row, epoch in zip(found.rows, fitted.history, strict=True):
            assert row.mean_loss == epoch.train.loss

    def test_the_mean_is_over_the_pictures_since_the_row_before(self) -> None:
        recipe = replace(PLAIN, batch_size=9, epochs=2)  # batches of 9, 9 and 6
        single, by_two = record(1), record(2)
        fit(recipe, single)
        fit(recipe, by_two)
        losses = [row.loss for row in single.rows]
        assert losses == [row.mean_loss for row in single.rows]
        first, second, third, *_ = [loss for loss in losses if loss is not None]
        assert by_two.rows[0].mean_loss == pytest.approx((first + second) / 2)
        assert by_two.rows[0].loss == pytest.approx(second)
        assert by_two.rows[1].mean_loss == pytest.approx((third * 6 + (losses[3] or 0) * 9) / 15)

    def test_a_batch_of_strangers_alone_has_none(self) -> None:
        training = a_training(PLAIN)
        found = record(1)
        found.start(training)
        training.step = 1
        found.step(training, torch.empty(0, 3), torch.empty(0, dtype=torch.long), 0.1)
        assert (found.rows[0].loss, found.rows[0].mean_loss) == (None, None)

    def test_there_is_none_before_the_first_step(self) -> None:
        found = record(6, test=3)
        fit(PLAIN, found)
        assert (found.rows[0].loss, found.rows[0].mean_loss) == (None, None)
        assert found.rows[0].test is not None


def a_training(recipe: Recipe) -> Training:
    return Training(recipe, colors(), SPEC, CPU, torch.Generator().manual_seed(0))


class TestTestPictures:
    def test_figures_are_those_of_the_first_pictures(self) -> None:
        found = record(6, test=5)
        fitted = fit(replace(PLAIN, selection="last"), found)
        first = colors(seed=1).subset(torch.arange(5))
        assert found.rows[-1].test == predicting.evaluate(fitted.network, first, SPEC)
        assert {row.test_pictures for row in found.rows} == {5}

    def test_before_the_first_step_the_weights_are_the_first(self) -> None:
        found = record(6, test=5)
        fit(PLAIN, found)
        with torch.random.fork_rng():
            torch.manual_seed(PLAIN.seed)
            network = state.build_network(PLAIN, 3, CPU)
        first = colors(seed=1).subset(torch.arange(5))
        assert found.rows[0].test == predicting.evaluate(network, first, SPEC)

    def test_the_moving_average_is_evaluated_as_it_is_what_is_kept(self) -> None:
        found = record(6, test=5)
        fitted = fit(replace(PLAIN, averaging=0.9), found)
        first = colors(seed=1).subset(torch.arange(5))
        assert found.rows[-1].test == predicting.evaluate(fitted.network, first, SPEC)


class TestSameCourse:
    @pytest.mark.parametrize(
        "recipe",
        [
            Recipe(
                *("colors", "colors", "birdplane-dropout", 2, 8, "sgd", 0.05),
                schedule="one-cycle",
                momentum=0.9,
                flip=True,
                crop_padding=2,
            ),
            Recipe(*("colors", "colors", "birdplane-batchnorm", 2, 8, "adam", 0.01)),
            Recipe(
                *("colors", "colors", "convnet", 2, 8, "sgd", 0.05, {"widths": [4, 8]}),
                averaging=0.8,
                initialisation="whitening",
            ),
        ],
        ids=["dropout", "batchnorm", "averaging"],
    )
    def test_weights_and_history_are_the_same_with_figures_and_without(
        self, recipe: Recipe
    ) -> None:
        train = enlarged(colors())
        alone = loop.fit(recipe, train, LARGE, CPU)
        found = record(1, 9, LARGE)
        watched = loop.fit(recipe, train, LARGE, CPU, Hooks(record=found))
        assert len(found.rows) > 6
        assert same_weights(alone.network, watched.network)
        assert alone.history == watched.history

    def test_a_network_that_draws_numbers_draws_the_same(self) -> None:
        with registry.ARCHITECTURES.restored():
            registry.register("noisy", SPEC)(lambda num_classes: Noisy(num_classes))
            recipe = replace(PLAIN, architecture="noisy")
            alone, watched = fit(recipe, None), fit(recipe, record(1, 9))
        assert same_weights(alone.network, watched.network)
        assert alone.history == watched.history

    def test_every_module_is_in_the_mode_it_was_in(self) -> None:
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
        network.train()
        network[1].eval()
        with steps.undisturbed(network, CPU) as used:
            used.eval()
        assert [module.training for module in network.modules()] == [True, True, False, True]


class TestLearningRate:
    @pytest.mark.parametrize("schedule", ["constant", "one-cycle", "cosine"])
    def test_it_is_the_one_that_the_step_was_made_with(self, schedule: Any) -> None:
        recipe = replace(PLAIN, schedule=schedule)
        found = record(1, test=3)
        fit(recipe, found)
        optimizer = optimization.build_optimizer(recipe, Tiny(3))
        planned = optimization.Schedule(recipe, optimizer, 12)
        rates = []
        for _ in range(12):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            planned.after_step()
        assert [row.learning_rate for row in found.rows] == [rates[0], *rates]

    def test_plateau_lowers_it_between_epochs(self) -> None:
        recipe = replace(PLAIN, schedule="plateau", validation_fraction=0.25, epochs=6)
        found = record(1)
        fitted = fit(replace(recipe, learning_rate=0.5), found)
        by_epoch = {row.epoch: row.learning_rate for row in found.rows}
        assert list(by_epoch.values()) == [epoch.learning_rate for epoch in fitted.history]
        assert min(by_epoch.values()) < 0.5


def test_a_training_that_diverges_ends_with_a_row_that_says_so() -> None:
    found = record(4, test=3)
    fit(replace(PLAIN, optimizer="sgd", learning_rate=1e30, epochs=5), found)
    last = found.rows[-1]
    assert numbers_of(found.rows)[-1] in ((6, 1), (12, 2))
    assert last.mean_loss is not None
    assert math.isnan(last.mean_loss)
    assert last.test is not None
    assert math.isnan(last.test.loss)
    assert math.isnan(last.test.accuracy)


class TestHead:
    RECIPE = replace(RECIPE, epochs=3, batch_size=8, tune="head-first", validation_fraction=0.25)

    def fit(self, recipe: Recipe, found: StepRecord, **arguments: Any) -> Fitted:
        images = colors(12)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
        images = replace(images, targets=images.targets[order])  # which no head can tell
        return tuning.fit(recipe, images, SPEC, CPU, Hooks(record=found), **arguments)

    def test_steps_begin_behind_the_epoch_of_the_head(self) -> None:
        found = record(2, test=5)
        fitted = self.fit(self.RECIPE, found)
        assert len(fitted.history) == 3
        assert numbers_of(found.rows) == [(0, 1), (2, 2), (4, 2), (6, 3), (8, 3)]

    def test_the_head_alone_takes_no_steps(self) -> None:
        found = record(2, test=5)
        self.fit(replace(self.RECIPE, tune="head"), found)
        assert found.rows == []


class TestResume:
    @pytest.mark.parametrize("every", [1, 4, 5, 6, 7, 100])
    @pytest.mark.parametrize("epochs", [1, 2])
    def test_the_rows_are_those_of_an_unbroken_training(self, every: int, epochs: int) -> None:
        recipe = replace(PLAIN, epochs=3)
        whole = record(every, test=5)
        kept: list[tuple[dict[str, Any], dict[str, Any], list[Step]]] = []

        def on_state(state: dict[str, Any]) -> None:
            kept.append((copy.deepcopy(state), whole.state_dict(), list(whole.rows)))

        fitted = fit(recipe, whole, hooks={"on_state": on_state})
        state, since, rows = kept[epochs - 1]
        rows = steps.before_break(rows, fitted.history[:epochs])
        again = record(every, test=5, rows=rows)
        again.load_state_dict(since)
        fit(recipe, again, state=state)
        assert again.rows == whole.rows

    def test_rows_of_an_epoch_that_was_not_finished_are_made_again(self) -> None:
        rows = [Step(number, epoch, 1.0, 1.0, 0.1) for number, epoch in ((0, 0), (6, 1), (7, 2))]
        history = [Epoch(1, Metrics(1.0, 0.5), None)]
        assert steps.before_break(rows, history) == rows[:2]
        assert steps.before_break(rows, []) == []


class TestTally:
    def test_it_goes_on_from_its_state(self) -> None:
        logits, targets = torch.randn(9, 3), torch.arange(9) % 3
        whole, one, other = (evaluation.Tally(CPU) for _ in range(3))
        one.add(logits[:4], targets[:4])
        other.load_state_dict(one.state_dict())
        other.add(logits[4:], targets[4:])
        for part in (slice(0, 4), slice(4, 9)):
            whole.add(logits[part], targets[part])
        assert other.metrics() == whole.metrics()

    def test_a_batch_without_pictures_changes_nothing(self) -> None:
        """Such as one of nothing but strangers."""
        tally = evaluation.Tally(CPU)
        tally.add(torch.eye(3), torch.arange(3))
        before = tally.metrics()
        tally.add(torch.empty(0, 3), torch.empty(0, dtype=torch.long))
        assert tally.metrics() == before
        assert math.isnan(evaluation.Tally(CPU).metrics().loss)

    @pytest.mark.parametrize("state", [5, {}, {"loss": "x"}, None])
    def test_what_is_no_state(self, state: Any) -> None:
        with pytest.raises((LookupError, TypeError, ValueError)):
            evaluation.Tally(CPU).load_state_dict(state)


class TestFile:
    ROWS = (
        Step(0, 0, None, None, 0.1, Metrics(2.5, 0.125), 2000),
        Step(100, 1, 1 / 3, 2 / 3, 0.05, Metrics(0.5, 0.75), 2000),
        Step(150, 2, 0.25, 0.5, 0.0),
    )
    HEAD = "step,epoch,loss,mean_loss,learning_rate,test_loss,test_accuracy,test_pictures\n"

    def test_it_has_a_row_a_step(self, tmp_path: Path) -> None:
        Run(tmp_path).write_steps(self.ROWS[::2])
        text = (tmp_path / "steps.csv").read_text()
        assert text == self.HEAD + "0,0,,,0.1,2.5,0.125,2000\n150,2,0.25,0.5,0.0,,,0\n"

    def test_it_is_read_as_it_was_written(self, tmp_path: Path) -> None:
        run = Run(tmp_path)
        for rows in (list(self.ROWS), []):
            run.write_steps(rows)
            assert run.steps() == rows

    def test_a_figure_that_is_not_finite_is_kept(self, tmp_path: Path) -> None:
        run = Run(tmp_path)
        run.write_steps([Step(1, 1, math.inf, math.nan, 0.1, Metrics(math.nan, math.nan), 3)])
        (row,) = run.steps()
        assert row.loss == math.inf
        assert row.mean_loss is not None
        assert math.isnan(row.mean_loss)
        assert row.test is not None
        assert math.isnan(row.test.accuracy)

    def test_a_run_without_it_has_no_steps(self, tmp_path: Path) -> None:
        assert Run(tmp_path).steps() == []

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            ("", "line 1 is cut off"),
            ("a,b\n1,2\n", "is not a table of steps: it lacks epoch, learning_rate, loss"),
            (HEAD + "1,1,0.5,0.5,0.1,,,0", "line 2 is cut off"),
            (HEAD + "1,1,0.5\n", "line 2 has no learning_rate"),
            (HEAD + "one,1,0.5,0.5,0.1,,,0\n", "line 2 is no step"),
            (HEAD + "1,1,lots,0.5,0.1,,,0\n", "line 2 is no step (could not convert string"),
            (HEAD + "1,1,0.5,0.5,nan,,,0\n", "line 2 is no step (a learning_rate of nan)"),
            (HEAD + "1,1,0.5,0.5,0.1,0.5,1.5,9\n", "line 2 is no step (a test_accuracy of 1.5)"),
            (HEAD + "1,1,0.5,0.5,0.1,,0.5,9\n", "line 2 has no test_loss"),
            (HEAD + "-1,1,0.5,0.5,0.1,,,0\n", "line 2 is no step (-1 is below 0)"),
            (HEAD + "1,1,,,0.1,,,0\n1,1,,,0.1,,,0\n", "line 3 is no step (step 1 behind step 1)"),
            (HEAD + "1,1,0.5,0.5,0.1,,,0,7,8\n", "line 2 is no step"),
            (HEAD + "\udcff\n", "line 2 is not UTF-8"),
            ("x" * 200_000 + "\n", "line 1 is no step"),
        ],
    )
    def test_what_is_damaged_is_told_by_its_line(
        self, content: str, problem: str, tmp_path: Path
    ) -> None:
        path = tmp_path / "steps.csv"
        path.write_bytes(content.encode(errors="surrogateescape"))
        with pytest.raises(DamagedFileError) as caught:
            Run(tmp_path).steps()
        assert f"{path} {problem}" in str(caught.value)
