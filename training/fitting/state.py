"""The state of one training: network, optimizer, schedule, history and the selected weights.

`loop` changes it step by step; its `state_dict` is what an interrupted training continues from.
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from models import checkpoint, layout
from models.architectures import registry
from models.errors import FanlightError, OptionError
from models.preprocessing import InputSpec
from models.trust import Answers
from training.data.datasets import ImageSet
from training.fitting import optimization
from training.fitting.evaluation import Metrics
from training.fitting.processes import ALONE, Processes
from training.fitting.start import initialisation, pretrained
from training.recipes.recipe import Recipe

WHITENING_PICTURES = 5000  # whose patches decide the filters of the initialisation whitening
WHITENING_PIXELS = WHITENING_PICTURES * 64 * 64  # fewer pictures of larger inputs
_NO_STATE = (AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class TrainingError(FanlightError):
    """A training gave no usable weights, or can't be resumed."""


class StateError(TrainingError):
    """The state to resume from is not a state of this training."""


@dataclass(frozen=True)
class Epoch:
    """One row of the history; `number` counts from 1.

    `train` is the mean over the epoch's steps, while the weights change and dropout drops. Its loss
    is the cross-entropy alone, without smoothing, class weights or penalty. `learning_rate` is that
    of the epoch's first step.
    """

    number: int
    train: Metrics
    validation: Metrics | None
    learning_rate: float | None = None


@dataclass(frozen=True)
class Fitted:
    """The result of a training: the network with the selected epoch's weights, in evaluation mode.

    `trained_on` are the pictures that were not held out. `held_out` are those that the epoch was
    selected by, or None with cross-validation. `validated` counts the pictures behind the
    validation figures of the selected epoch. `is_crossed` says that these figures come from
    cross-validation, where each picture is predicted by weights that were fit without it. `note`
    says, for people, which layers were trained and why, if the recipe left that open. `is_frozen`
    says that only the head was trained.

    `training/fitting/trust.py` uses `calibration`, pictures that were not trained on, and
    `strangers`. If only a head was fitted, it may use `crossed` instead of `calibration`: the
    answers to all pictures by cross-validation.
    """

    network: nn.Module
    history: list[Epoch]
    selected: Epoch
    trained_on: ImageSet
    validated: int = 0
    is_crossed: bool = False
    note: str | None = None
    held_out: ImageSet | None = None
    is_frozen: bool = False
    calibration: ImageSet | None = None
    strangers: ImageSet | None = None
    crossed: Answers | None = None


class Training:
    """The changing state of a training: weights, optimizer, schedule, generators, history."""

    def __init__(
        self,
        recipe: Recipe,
        train: ImageSet,
        spec: InputSpec,
        device: torch.device,
        generator: torch.Generator,
        num_classes: int | None = None,
        processes: Processes = ALONE,
    ) -> None:
        """The first `num_classes` of the labels are the network's own; the others are strangers'.
        None means that all are its own. Raises `OptionError` if the pictures can't be shared by
        several processes."""
        processes.check(recipe.batch_size, len(train))
        self.processes = processes
        self.num_classes = len(train.labels) if num_classes is None else num_classes
        self.recipe, self.generator, self.device = recipe, generator, device
        self._num_outputs = len(train.labels)
        self.network = build_network(recipe, self._num_outputs, device)
        checkpoint.trial(self.network.eval(), spec, len(train.labels))  # before hours are spent
        self.layout = layout.channels_last(self.network, spec)
        if recipe.initialisation == "whitening" and recipe.pretrained is None:
            most = min(WHITENING_PICTURES, max(1, WHITENING_PIXELS // (spec.height * spec.width)))
            some = train.images[:: math.ceil(len(train) / most)]  # of every class
            initialisation.whiten(self.network, spec.normalize(some))
        self.loss = optimization.loss_function(recipe, train)
        self._class_weights = optimization.class_weights(recipe, train)
        self.optimizer = optimization.build_optimizer(recipe, self.network)
        self.scaler = optimization.build_scaler(recipe, device)
        self._steps_an_epoch = len(self.batches(torch.arange(len(train))))
        self.steps = recipe.epochs_to_run * self._steps_an_epoch  # of the whole training
        self.step = 0  # how many were made
        self.schedule = optimization.Schedule(recipe, self.optimizer, self.steps)
        self.average = None
        if recipe.averaging:
            update = get_ema_multi_avg_fn(recipe.averaging)
            self.average = AveragedModel(self.network, multi_avg_fn=update, use_buffers=True)
        self.history: list[Epoch] = []
        self._selected: Epoch | None = None
        self._weights: dict[str, Tensor] = {}
        self.parallel = processes.parallel(self.network, spec)
        self.views = generator
        if processes.count > 1:  # else all processes would draw the same views and dropout
            torch.manual_seed(processes.seed(recipe.seed))
            self.views = torch.Generator().manual_seed(processes.seed(recipe.seed))

    def batches(self, order: Tensor) -> list[Tensor]:
        """Split the indices into the batches of an epoch, each of which all processes share."""
        return batches(order, self.recipe.batch_size, self.processes.least_batch)

    def share(self, targets: Tensor, batch: Tensor, own: Tensor) -> float | Tensor:
        """Return the factor of this process's loss, so that the mean of gradients is the batch's.

        `batch` are the indices of a batch in `targets`, and `own` those of this process's part. The
        factor is 1 if all parts weigh the same.
        """
        if self.processes.count == 1:
            return 1.0
        weights = (
            optimization.picture_weights(self._class_weights, targets[each]).sum()
            for each in (own, batch)
        )
        part, whole = weights
        return self.processes.count * part / whole

    @property
    def has_strangers(self) -> bool:
        return self.num_classes < self._num_outputs

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        rate: float = self.optimizer.param_groups[0]["lr"]
        return rate

    @property
    def epoch(self) -> int:
        """The number of the last step's epoch; before the first step, the number of finished
        epochs."""
        return self._epochs_without_steps + math.ceil(self.step / self._steps_an_epoch)

    @property
    def _epochs_without_steps(self) -> int:
        """The number of epochs that take no steps: 1 if the head is fit first, else 0."""
        return int(self.recipe.tune != "all")

    @property
    def diverged(self) -> bool:
        return bool(self.history) and not math.isfinite(self.history[-1].train.loss)

    def kept_network(self) -> nn.Module:
        """Return the network whose weights are kept: the moving average if there is one."""
        return self.network if self.average is None else self.average.module

    def finish(self, epoch: Epoch) -> None:
        """Add an epoch to the history, and keep its weights unless an earlier epoch was better."""
        self.schedule.after_epoch(epoch.validation.loss if epoch.validation else None)
        self.history.append(epoch)
        last = self.recipe.selection == "last"
        if self._selected is None or last or _rank(epoch) >= _rank(self._selected):
            self._selected = epoch
            self._weights = copy.deepcopy(self.kept_network().state_dict())

    def fitted(self, trained_on: ImageSet) -> Fitted:
        assert self._selected is not None  # noqa: S101 (a recipe has at least one epoch)
        network = self.kept_network()
        network.load_state_dict(self._weights)
        if self.has_strangers:
            network = without_strangers(network, self.recipe, self.num_classes)
        return Fitted(network.eval(), self.history, self._selected, trained_on)

    def state_dict(self) -> dict[str, Any]:
        """Return the state as tensors, numbers and strings, which `weights_only=True` reads
        back. Every process must call it, since each has generators of its own."""
        assert self._selected is not None  # noqa: S101 (asked for after an epoch)
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict() if self.average is not None else {},
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "schedule": self.schedule.state_dict(),
            "generator": self.generator.get_state(),
            "processes": self.gather_generators(),
            "history": [asdict(epoch) for epoch in self.history],
            "selected": self._selected.number,
            "weights": self._weights,
        }

    def gather_generators(self) -> list[dict[str, Tensor | None]]:
        """Return the state of the generators that each process has for itself, by its rank."""
        cuda = self.device.type == "cuda"
        own = {
            "views": self.views.get_state(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(self.device) if cuda else None,
        }
        return self.processes.gathered(own)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue after the last epoch of a `state_dict`.

        Raises `StateError` for other content, and `OptionError` for the state of another number of
        processes.
        """
        found = state.get("processes")
        if isinstance(found, list) and found and len(found) != self.processes.count:
            raise OptionError(
                f"the training was broken off by {len(found)} processes, and these are "
                f"{self.processes.count}: start as many, or anew without --resume"
            )
        try:
            self._load_state_dict(state)
        except torch.OutOfMemoryError:
            raise
        except _NO_STATE as error:
            raise StateError(f"the state doesn't fit the training: {error}") from error

    def _load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        self.schedule.load_state_dict(state["schedule"])
        own = state["processes"][self.processes.rank] if "processes" in state else state
        self.generator.set_state(state["generator"].cpu())
        if self.views is not self.generator:
            self.views.set_state(own["views"].cpu())
        torch.set_rng_state(own["torch"].cpu())
        if own["cuda"] is not None:
            torch.cuda.set_rng_state(own["cuda"].cpu(), self.device)
        self.history = [epoch_from(row) for row in state["history"]]
        self.step = (len(self.history) - self._epochs_without_steps) * self._steps_an_epoch
        self._selected = self.history[state["selected"] - 1]
        self._weights = state["weights"]


def build_network(recipe: Recipe, num_classes: int, device: torch.device) -> nn.Module:
    """The recipe's network on the device, initialised from torch's global generator."""
    architecture = registry.named(recipe.architecture)
    network = architecture.build(num_classes, **recipe.arguments)
    if recipe.initialisation == "xavier":
        initialisation.xavier(network)
    if recipe.pretrained is not None:
        pretrained.start_from(network, recipe.architecture, recipe.pretrained)
    return network.to(device)


def without_strangers(network: nn.Module, recipe: Recipe, num_classes: int) -> nn.Module:
    """Return a network with the first `num_classes` classes only, on the same device.

    Tensors that have a row for each class keep the first rows.
    """
    narrow = registry.named(recipe.architecture).build(num_classes, **recipe.arguments)
    wide, shapes = network.state_dict(), narrow.state_dict()
    narrow.load_state_dict({n: v[: len(shapes[n])] if v.ndim else v for n, v in wide.items()})
    return narrow.to(next(network.parameters()).device)


def batches(order: Tensor, size: int, least: int = 2) -> list[Tensor]:
    """Split the indices into batches of `size`; the last may be smaller.

    A last batch of fewer than `least` is merged into the one before: batch normalisation needs two
    images in each process.
    """
    split = list(order.split(size))
    if size > 1 and len(split) > 1 and len(split[-1]) < least:
        split[-2:] = [torch.cat(split[-2:])]
    return split


def _rank(epoch: Epoch) -> tuple[float, float]:
    if epoch.validation is None:
        return 0.0, 0.0  # all equal: the last is taken
    if not math.isfinite(epoch.validation.loss):
        return -1.0, 0.0
    return epoch.validation.accuracy, -epoch.validation.loss


def history_of(state: dict[str, Any] | None) -> list[Epoch]:
    """Return the epochs of a state, an empty list for None; raises `StateError` if it is no
    state."""
    try:
        return [epoch_from(row) for row in state["history"]] if state is not None else []
    except _NO_STATE as error:
        raise StateError("the state has no history") from error


def epoch_from(row: Mapping[str, Any]) -> Epoch:
    """Rebuild an epoch from the row that `dataclasses.asdict` made of it."""
    validation = row["validation"]
    return Epoch(
        number=row["number"],
        train=Metrics(**row["train"]),
        validation=Metrics(**validation) if validation else None,
        learning_rate=row["learning_rate"],
    )
