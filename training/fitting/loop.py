"""The training loop: data set and recipe → the weights of the best epoch.

All pictures lie on the device as uint8; a batch is gathered by indices, made float32, normalised
and augmented there. Losses are summed on the device, so that no step waits to read one.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from models import features
from models.errors import OptionError
from models.preprocessing import InputSpec
from models.trust import LEAST_IMAGES
from training.data import augmentation
from training.data.datasets import ImageSet
from training.fitting import optimization, predicting
from training.fitting.evaluation import Metrics, Tally
from training.fitting.processes import ALONE, Processes
from training.fitting.state import Epoch, Fitted, Training
from training.recipes.recipe import Recipe


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
    processes: Processes = ALONE,
) -> Fitted:
    """Train the recipe's network and select an epoch by pictures that it isn't trained on.

    These are `validation`; if it is None, the recipe's fraction of `train`. The classes of
    `strangers` are learned as further ones, which the fitted network doesn't have.

    With several `processes`, each calls this with the same arguments, and gets the same network.

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
        own = len(train.labels)
        training = Training(recipe, pictures, spec, device, generator, own, processes)
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


class Sizes(NamedTuple):
    """About how many pictures `fit` trains on, and how many it holds back that can calibrate."""

    trained_on: int
    calibration: int


def sizes(recipe: Recipe, train: ImageSet, validation: ImageSet | None) -> Sizes:
    """Return the sizes of the parts that `fit` splits the pictures into."""
    if validation is not None:
        return Sizes(len(train), len(validation))
    counts = torch.bincount(train.targets, minlength=len(train.labels)).tolist()
    held = sum(round(each * recipe.validation_fraction) for each in counts)
    if not held:
        held = sum(round(each * recipe.calibration_fraction) for each in counts)
        held = 0 if held < LEAST_IMAGES else held
    return Sizes(len(train) - held, held)


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
        network, processes = training.kept_network(), training.processes
        for copy in dict.fromkeys((training.network, network)):  # in one order in all processes
            processes.average_statistics(copy)
        checked = None
        if len(validation):
            checked = predicting.evaluate(network, validation, spec, processes)
        training.finish(Epoch(number, trained, checked, rate))
        if record is not None and (number == last or training.diverged):
            record.end(training)
        if hooks.on_state is not None:
            hooks.on_state(training.state_dict())
        hooks.on_epoch(training.history[-1])


def train_one_epoch(
    training: Training,
    train: ImageSet,
    spec: InputSpec,
    on_batch: Callable[[int], None] = lambda count: None,
    record: Record | None = None,
) -> Metrics:
    """Train on all pictures once, in random order; return loss and accuracy, without strangers.

    Of several processes, each trains on its part of every batch; the figures are those of all.
    """
    recipe, network, optimizer = training.recipe, training.network, training.optimizer
    processes = training.processes
    device = train.targets.device
    tally = Tally(device)
    order = torch.randperm(len(train), generator=training.generator).to(device)
    network.train()
    if recipe.tune != "all":  # the head was fit to features that these statistics gave
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
    for shared in training.batches(order):
        indices = processes.part(shared)
        batch = _augmented(train.images[indices], recipe, spec, training.views)
        targets = train.targets[indices]
        with optimization.autocast(recipe, device):
            outputs = training.parallel(batch.contiguous(memory_format=training.layout))
        logits = features.first(outputs).float()  # behind it, answers of auxiliary heads
        loss = training.loss(logits, targets) * training.share(train.targets, shared, indices)
        penalty = optimization.penalty(recipe, network)
        optimizer.zero_grad()
        training.scaler.scale(loss if penalty is None else loss + penalty).backward()
        training.scaler.step(optimizer)
        training.scaler.update()
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
        on_batch(len(shared))
    return processes.summed_up(tally).metrics()


# whatever torch's optimizers, generators and networks raise for what is not their own state


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
