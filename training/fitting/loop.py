"""The training loop: data set and recipe → the weights of the best epoch.

All pictures lie on the device as uint8; a batch is gathered by indices, made float32, normalised
and augmented there. Losses are summed on the device, so that no step waits to read one.
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from models import checkpoint, features, layout
from models.architectures import registry
from models.errors import FanlightError, OptionError
from models.preprocessing import InputSpec
from models.trust import LEAST_IMAGES, Answers
from training.data import augmentation
from training.data.datasets import ImageSet
from training.fitting import optimization, predicting
from training.fitting.evaluation import Metrics, Tally
from training.fitting.start import initialisation, pretrained
from training.recipes.recipe import Recipe

WHITENING_PICTURES = 5000  # whose patches decide the filters of the initialisation whitening


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


class Record(Protocol):
    """A recorder of figures between the steps, which changes nothing of the training.

    See `training/fitting/records/steps.py`.
    """

    def start(self, training: "Training") -> None: ...

    def step(self, training: "Training", logits: Tensor, targets: Tensor, rate: float) -> None: ...

    def end(self, training: "Training") -> None: ...


@dataclass(frozen=True)
class Hooks:
    """Callbacks during training.

    `on_batch` gets the number of images of each step, `on_epoch` each finished epoch, `on_state`
    the state from which `fit` can resume after that epoch, `on_note` a sentence for people.
    `record` is called before the first step, after each, and after the last.
    """

    on_batch: Callable[[int], None] = lambda count: None
    on_epoch: Callable[[Epoch], None] = lambda epoch: None
    on_state: Callable[[dict[str, Any]], None] | None = None
    on_note: Callable[[str], None] = lambda text: None
    record: Record | None = None


def fit(
    recipe: Recipe,
    train: ImageSet,
    spec: InputSpec,
    device: torch.device,
    hooks: Hooks = Hooks(),
    state: dict[str, Any] | None = None,
    validation: ImageSet | None = None,
    strangers: ImageSet | None = None,
) -> Fitted:
    """Train the recipe's network and select an epoch by pictures that it isn't trained on.

    These are `validation`; if it is None, the recipe's fraction of `train`. The classes of
    `strangers` are learned as further ones, which the fitted network doesn't have.

    The selected epoch has the highest validation accuracy and, of equal ones, the lowest loss; a
    recipe may select the last epoch instead. The training ends early if a loss is not finite. With
    the `state` of an earlier call for the same recipe, it continues after that epoch, with the same
    result. torch's global generator is seeded inside and restored afterwards. Raises `OptionError`
    if no picture is left to train on, `CheckpointError` if the network doesn't take the pictures,
    and `StateError` for a `state` of something else.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(recipe.seed)
        generator = torch.Generator().manual_seed(recipe.seed)
        if validation is None:
            train, validation = train.hold_out(recipe.validation_fraction, generator)
        if not len(train):
            raise OptionError("every picture is held out: lower validation_fraction")
        if len(validation):
            calibration = validation
        else:
            train, calibration = hold_back(recipe, train, generator)
        train, validation = train.to(device), validation.to(device)
        strangers = None if strangers is None else strangers.to(device)
        pictures = train if strangers is None else train.joined(strangers)
        training = Training(recipe, pictures, spec, device, generator, len(train.labels))
        if state is not None:
            training.load_state_dict(state)
        run_epochs(training, pictures, validation, spec, hooks, recipe.epochs_to_run)
    return replace(
        training.fitted(train),
        validated=len(validation),
        held_out=validation,
        calibration=calibration.to(device),
        strangers=strangers,
    )


def hold_back(
    recipe: Recipe, train: ImageSet, generator: torch.Generator
) -> tuple[ImageSet, ImageSet]:
    """Split into (rest, held back for calibration); hold back none if they would be too few."""
    count = torch.bincount(train.targets, minlength=len(train.labels)).tolist()
    fraction = recipe.calibration_fraction
    if sum(round(each * fraction) for each in count) < LEAST_IMAGES:
        fraction = 0.0
    return train.hold_out(fraction, generator) if fraction else (train, train.subset(_NO_PICTURES))


def trained_on(recipe: Recipe, train: ImageSet, has_validation: bool) -> int:
    """Return about how many pictures an epoch has."""
    if has_validation or not recipe.validation_fraction:
        generator = torch.Generator()
        return len(train if has_validation else hold_back(recipe, train, generator)[0])
    return round(len(train) * (1 - recipe.validation_fraction))


_NO_PICTURES = torch.empty(0, dtype=torch.long)


def run_epochs(
    training: "Training",
    train: ImageSet,
    validation: ImageSet,
    spec: InputSpec,
    hooks: Hooks,
    last: int,
) -> None:
    """Train the epochs from the end of the history up to number `last`, and call the hooks.

    Pictures are on the device. Stops early if the training has diverged.
    """
    record = hooks.record
    if record is not None:
        record.start(training)
    for number in range(len(training.history) + 1, last + 1):
        if training.diverged:
            break
        rate = training.learning_rate
        trained = train_one_epoch(training, train, spec, hooks.on_batch, record)
        network = training.kept_network()
        checked = predicting.evaluate(network, validation, spec) if len(validation) else None
        training.finish(Epoch(number, trained, checked, rate))
        if record is not None and (number == last or training.diverged):
            record.end(training)
        if hooks.on_state is not None:
            hooks.on_state(training.state_dict())
        hooks.on_epoch(training.history[-1])


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
    ) -> None:
        """The first `num_classes` of the labels are the network's own; the others are strangers'.
        None means that all are its own."""
        self.num_classes = len(train.labels) if num_classes is None else num_classes
        self.recipe, self.generator, self.device = recipe, generator, device
        self._num_outputs = len(train.labels)
        self.network = build_network(recipe, self._num_outputs, device)
        checkpoint.trial(self.network.eval(), spec, len(train.labels))  # before hours are spent
        self.layout = layout.channels_last(self.network, spec)
        if recipe.initialisation == "whitening" and recipe.pretrained is None:
            some = train.images[:: math.ceil(len(train) / WHITENING_PICTURES)]  # of every class
            initialisation.whiten(self.network, spec.normalize(some))
        self.loss = optimization.loss_function(recipe, train)
        self.optimizer = optimization.build_optimizer(recipe, self.network)
        self._steps_an_epoch = len(batches(torch.arange(len(train)), recipe.batch_size))
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
        back."""
        assert self._selected is not None  # noqa: S101 (asked for after an epoch)
        cuda = self.device.type == "cuda"
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict() if self.average is not None else {},
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "generator": self.generator.get_state(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(self.device) if cuda else None,
            "history": [asdict(epoch) for epoch in self.history],
            "selected": self._selected.number,
            "weights": self._weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue after the last epoch of a `state_dict`; raises `StateError` for other
        content."""
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
        self.schedule.load_state_dict(state["schedule"])
        self.generator.set_state(state["generator"].cpu())
        torch.set_rng_state(state["torch"].cpu())
        if state["cuda"] is not None:
            torch.cuda.set_rng_state(state["cuda"].cpu(), self.device)
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


def train_one_epoch(
    training: Training,
    train: ImageSet,
    spec: InputSpec,
    on_batch: Callable[[int], None] = lambda count: None,
    record: Record | None = None,
) -> Metrics:
    """Train on all pictures once, in random order; return loss and accuracy, without strangers."""
    recipe, network, optimizer = training.recipe, training.network, training.optimizer
    device = train.targets.device
    tally = Tally(device)
    order = torch.randperm(len(train), generator=training.generator).to(device)
    network.train()
    if recipe.tune != "all":  # the head was fit to features that these statistics gave
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
    for indices in batches(order, recipe.batch_size):
        batch = _augmented(train.images[indices], recipe, spec, training.generator)
        targets = train.targets[indices]
        with torch.autocast(device.type, torch.bfloat16, recipe.precision == "bfloat16"):
            outputs = network(batch.contiguous(memory_format=training.layout))
        logits = features.first(outputs).float()  # behind it, answers of auxiliary heads
        loss = training.loss(logits, targets)
        penalty = optimization.penalty(recipe, network)
        optimizer.zero_grad()
        (loss if penalty is None else loss + penalty).backward()
        optimizer.step()
        rate = training.learning_rate
        training.schedule.after_step()
        training.step += 1
        if training.average is not None:
            training.average.update_parameters(network)
        own = targets < training.num_classes if training.has_strangers else slice(None)
        answers = logits[own, : training.num_classes], targets[own]
        tally.add(*answers)
        if record is not None:
            record.step(training, *answers, rate)
        on_batch(len(indices))
    return tally.metrics()


def batches(order: Tensor, size: int) -> list[Tensor]:
    """Split the indices into batches of `size`; the last may be smaller.

    A last batch of one is merged into the one before: batch normalisation needs two images.
    """
    split = list(order.split(size))
    if size > 1 and len(split) > 1 and len(split[-1]) == 1:
        split[-2:] = [torch.cat(split[-2:])]
    return split


# whatever torch's optimizers, generators and networks raise for what is not their own state
_NO_STATE = (AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def _rank(epoch: Epoch) -> tuple[float, float]:
    if epoch.validation is None:
        return 0.0, 0.0  # all equal: the last is taken
    if not math.isfinite(epoch.validation.loss):
        return -1.0, 0.0
    return epoch.validation.accuracy, -epoch.validation.loss


def _augmented(
    pictures: Tensor, recipe: Recipe, spec: InputSpec, generator: torch.Generator
) -> Tensor:
    """Apply the recipe's augmentations to uint8 pictures (N, C, H, W); return them normalised."""
    if recipe.ground:
        pictures = augmentation.ground(pictures, recipe.ground, generator)
    if recipe.compression:
        pictures = augmentation.compress(pictures, recipe.compression, generator)
    batch = spec.normalize(pictures)
    if recipe.flip:
        batch = augmentation.flip(batch, generator)
    if recipe.crop_padding:
        batch = augmentation.crop(batch, recipe.crop_padding, generator)
    if recipe.rotation or recipe.scaling:
        batch = augmentation.turn(batch, recipe.rotation, recipe.scaling, generator)
    if recipe.erasing:
        batch = augmentation.erase(batch, recipe.erasing, generator)
    return batch


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
