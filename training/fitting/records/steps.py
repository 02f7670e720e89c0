"""Figures between the steps of a training: the loop → rows of `Step` → steps.csv, curves.png.

They are for display only. No weight, no epoch and no learning rate is chosen by them, and the
training has the same result without them: evaluation leaves modes, statistics and generators as
they were.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.preprocessing import InputSpec
from training.data.datasets import ImageSet
from training.fitting import evaluation, predicting
from training.fitting.evaluation import Metrics, Tally
from training.fitting.records.table import Table, figures
from training.fitting.state import Epoch, Training


@dataclass(frozen=True)
class Step:
    """A row of figures after `number` steps of the training; 0 is before the first step.

    `epoch` is the epoch of the step. `loss` is that of the step's own batch, and `mean_loss` the
    mean over the pictures since the previous row. Both are the cross-entropy alone, as in `Epoch`,
    and None if there was no picture, as before the first step. `learning_rate` is that of the step;
    in the row before the first step, that of the first. `test` are the figures of the first
    `test_pictures` of the test set, or None if none are evaluated.
    """

    number: int
    epoch: int
    loss: float | None
    mean_loss: float | None
    learning_rate: float
    test: Metrics | None = None
    test_pictures: int = 0


@dataclass(frozen=True)
class StepPlan:
    """The user's options for figures of steps: a row every `every` steps.

    The first `test_pictures` of the test set are evaluated for each row; 0 leaves that out.
    `on_step` is called with each row.
    """

    every: int
    test_pictures: int = 0
    on_step: Callable[[Step], None] = lambda step: None


class StepRecord:
    """The rows of one training; `loop.run_epochs` calls `start`, `step` and `end`."""

    def __init__(
        self,
        plan: StepPlan,
        test: ImageSet,
        spec: InputSpec,
        rows: Sequence[Step] = (),
        on_note: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`test` are the test pictures to evaluate, on the training's device; `rows` are those
        recorded before an interruption."""
        self.rows = list(rows)
        self._plan, self._test, self._spec, self._on_note = plan, test, spec, on_note
        self._since = Tally(test.targets.device)
        self._last: tuple[Tensor, Tensor] | None = None  # logits and targets of the last step
        self._rate = math.nan

    def start(self, training: Training) -> None:
        """Add the row before the first step, if test pictures are evaluated.

        Reports through `on_note` if the training has fewer steps than `every`.
        """
        self._rate = training.learning_rate
        if self._plan.every > training.steps:
            self._on_note(
                f"the training has {training.steps:,} steps, fewer than "
                f"--evaluate-every-steps {self._plan.every:,}: there are figures of its end alone"
                + (", and of its start" if len(self._test) else "")
            )
        if training.step == 0 and not self.rows and len(self._test):
            self._add(training)

    def step(self, training: Training, logits: Tensor, targets: Tensor, rate: float) -> None:
        """Record a step, and add a row if one is due.

        `logits` (N, num_classes) and `targets` (N,) are those of the step, without strangers.
        """
        self._since.add(logits, targets)
        self._last = logits.detach(), targets
        self._rate = rate
        if training.step % self._plan.every == 0:
            self._add(training)

    def end(self, training: Training) -> None:
        """Add the row of the last step of the training, unless it is there; called before the state
        is saved."""
        if not self.rows or self.rows[-1].number != training.step:
            self._add(training)

    def state_dict(self) -> dict[str, Any]:
        """Return the sums since the last row."""
        return self._since.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from the sums of a `state_dict`.

        Raises `LookupError`, `TypeError` or `ValueError` for other content.
        """
        self._since.load_state_dict(state)

    def _add(self, training: Training) -> None:
        test = None
        if len(self._test):
            with undisturbed(training.kept_network(), training.device) as network:
                test = predicting.evaluate(network, self._test, self._spec)
        loss = None
        if self._last is not None and len(self._last[1]):
            loss = evaluation.metrics(*self._last).loss
        row = Step(
            number=training.step,
            epoch=training.epoch,
            loss=loss,
            mean_loss=self._since.metrics().loss if self._since.count else None,
            learning_rate=self._rate,
            test=test,
            test_pictures=len(self._test),
        )
        self._since = Tally(training.device)
        self.rows.append(row)
        self._plan.on_step(row)


def before_break(rows: Sequence[Step], history: Sequence[Epoch]) -> list[Step]:
    """Return the rows of the finished epochs, behind which an interrupted training continues."""
    return [row for row in rows if history and row.epoch <= history[-1].number]


@contextmanager
def undisturbed(network: nn.Module, device: torch.device) -> Iterator[nn.Module]:
    """Yield a network to evaluate during training; restore its modes and torch's generators
    afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield network
    finally:
        for module, mode in modes:
            module.training = mode


def _parse(row: Mapping[str, str], before: Sequence[Step]) -> Step:
    found = figures(row)
    number, epoch = (_whole(row[name]) for name in ("step", "epoch"))
    if before and number <= before[-1].number:
        raise ValueError(f"step {number} behind step {before[-1].number}")
    if not 0 <= (rate := found["learning_rate"]) < math.inf:
        raise ValueError(f"a learning_rate of {rate}")
    test = None
    if "test_accuracy" in found:
        test = Metrics(found["test_loss"], found["test_accuracy"])
        if not (0 <= test.accuracy <= 1 or math.isnan(test.accuracy)):
            raise ValueError(f"a test_accuracy of {test.accuracy}")
    pictures = _whole(row["test_pictures"] or "0")
    return Step(number, epoch, found.get("loss"), found.get("mean_loss"), rate, test, pictures)


def _whole(text: str) -> int:
    if (number := int(text)) < 0:
        raise ValueError(f"{number} is below 0")
    return number


_COLUMNS = (
    *("step", "epoch", "loss", "mean_loss", "learning_rate"),
    *("test_loss", "test_accuracy", "test_pictures"),
)
TABLE = Table[Step](_COLUMNS, _COLUMNS, "step", "a table of steps", _parse)


def as_csv(rows: Sequence[Step]) -> bytes:
    return TABLE.as_csv(
        (
            *(row.number, row.epoch, row.loss, row.mean_loss, row.learning_rate),
            *((row.test.loss, row.test.accuracy) if row.test else (None, None)),
            row.test_pictures,
        )
        for row in rows
    )
