"""Fine-tuning of a pretrained network: first the head alone, then all layers if that pays.

While the head is fit, the layers before it are frozen. So their outputs are computed once for each
picture and kept in memory, and the head is fit to them in seconds
(`training/fitting/start/head.py`). That is epoch 1 of the history. The following epochs train all
layers, as `training/fitting/loop.py` does.
"""

import copy
import math
import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor, nn

from models import features
from models.errors import OptionError
from models.preprocessing import InputSpec
from models.structure import reading
from models.trust import Answers
from training.data.datasets import ImageSet
from training.fitting import evaluation, loop, optimization
from training.fitting.evaluation import Metrics
from training.fitting.loop import Hooks
from training.fitting.processes import ALONE, Processes
from training.fitting.start import head
from training.fitting.start.head import Choice, Head
from training.fitting.state import Epoch, Fitted, Training
from training.recipes.recipe import Recipe

FEATURE_BATCH = 16  # pictures; larger ones are not quicker on a CPU, and take memory
LEAST_MISTAKES = 5
"""Fewest mistakes of the head on the held-out pictures with which all layers are trained. If all of
fewer mistakes were corrected, chance could do that in more than one case of twenty: 1/2⁴ > 0.05 >
1/2⁵."""


def fit(
    recipe: Recipe,
    train: ImageSet,
    spec: InputSpec,
    device: torch.device,
    hooks: Hooks | None = None,
    state: dict[str, Any] | None = None,
    validation: ImageSet | None = None,
    processes: Processes = ALONE,
) -> Fitted:
    """Train as `loop.fit` does, for recipes whose `tune` is `head` or `head-first`.

    The first epoch trains the last linear layer (the head) alone. With `head-first` the other
    epochs train all layers, unless something speaks against it, which is told. If the result on
    held-out pictures did not improve enough (`pays`), the network gets its first layers back, and
    the head is trained again on all of `train`, held-out pictures included. Also raises
    `OptionError` if the network does not end in a linear layer.

    Of several `processes`, the first fits the head, and all train the layers. The others return
    what they have trained: the first alone fits the head again.
    """
    hooks = hooks or Hooks()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(recipe.seed)
        generator = torch.Generator().manual_seed(recipe.seed)
        pictures = _Pictures.split(recipe, train, validation, generator).to(device)
        left = replace(recipe, epochs=max(recipe.epochs_to_run - 1, 1))  # for all layers
        training = Training(left, pictures.rest, spec, device, generator, processes=processes)
        frozen = _Frozen(training, spec)
        start = copy.deepcopy(training.kept_network().state_dict())
        if state is not None:
            training.load_state_dict(state)
        elif not processes.is_first:
            if not _take_head(training):
                return training.fitted(pictures.rest)
        elif (alone := _fit_head(recipe, pictures, frozen, hooks)) is not None:
            return alone
        last = recipe.epochs_to_run
        loop.run_epochs(training, pictures.rest, pictures.held, spec, hooks, last)
        if not processes.is_first:
            return training.fitted(pictures.rest)
        fitted = replace(
            training.fitted(pictures.rest), held_out=pictures.held, calibration=pictures.held
        )
        if not pays(recipe, fitted.history[0], fitted.selected, len(pictures.held)):
            fitted.network.load_state_dict(start)
            found = frozen.features(pictures.both, hooks)
            choice = _choose(recipe, found, pictures.both)
            frozen.set_head(_fit(recipe, found, pictures.both, choice.penalty))
            first = fitted.history[0]
            held_out = None if pictures.is_held_out else pictures.held
            crossed = _answers(choice, found, pictures.both) if pictures.is_held_out else None
            fitted = replace(
                fitted,
                selected=first,
                trained_on=pictures.both,
                held_out=held_out,
                is_frozen=True,
                crossed=crossed,
            )
        note = _verdict(recipe, fitted.history, fitted.selected, len(pictures.held))
        hooks.on_note(note)
        return replace(fitted, validated=len(pictures.held), note=note)


def _fit_head(
    recipe: Recipe, pictures: "_Pictures", frozen: "_Frozen", hooks: Hooks
) -> Fitted | None:
    """Train epoch 1, the head alone; return None if all layers are to be trained after it."""
    training, rest, held, both = frozen.training, pictures.rest, pictures.held, pictures.both
    started = time.monotonic()
    known, unknown = frozen.features(rest, hooks), frozen.features(held, hooks)
    seconds = (time.monotonic() - started) / (len(rest) + len(held))  # a picture
    every = torch.cat([known, unknown]) if pictures.is_held_out else known
    choice = _choose(recipe, every, both)
    first = _fit(recipe, known, rest, choice.penalty)
    judged = _metrics(first, unknown, held) if len(held) else None
    reason = _reason_not_to_tune(recipe, judged, len(held))
    training.processes.from_first(reason is None)
    if reason is not None:
        final = _fit(recipe, every, both, choice.penalty)
        frozen.set_head(final)
        checked = _crossed(choice, both) if pictures.is_held_out else judged
        training.finish(Epoch(1, _metrics(final, every, both), checked))
        hooks.on_epoch(training.history[-1])
        more = recipe.epochs_to_run - 1
        hooks.on_note(f"{reason}; the other {more} epochs are left out" if more > 1 else reason)
        return replace(
            training.fitted(both),
            validated=len(choice.pictures) if pictures.is_held_out else len(held),
            is_crossed=pictures.is_held_out,
            note=reason,
            held_out=None if pictures.is_held_out else held,
            is_frozen=True,
            calibration=None if pictures.is_held_out else held,
            crossed=_answers(choice, every, both) if pictures.is_held_out else None,
        )
    frozen.set_head(first)
    training.finish(Epoch(1, _metrics(first, known, rest), judged))
    state = training.state_dict()
    training.processes.from_first(state)
    if hooks.on_state is not None:
        hooks.on_state(state)
    hooks.on_epoch(training.history[-1])
    _note_time(seconds, len(rest), recipe.epochs_to_run - 1, hooks)
    return None


def _take_head(training: Training) -> bool:
    """Continue from the head that the first process fits; False if all layers stay as they are."""
    if not training.processes.from_first():
        training.finish(Epoch(1, Metrics(math.nan, math.nan), None))
        return False
    training.gather_generators()
    training.load_state_dict(training.processes.from_first())
    return True


@dataclass(frozen=True)
class _Pictures:
    """The pictures of a training: `rest` is trained on, `held` validates it.

    A head that is kept is fit to `both` in the end. `is_held_out` says that `held` is a part of the
    training set.
    """

    rest: ImageSet
    held: ImageSet
    both: ImageSet
    is_held_out: bool

    @classmethod
    def split(
        cls,
        recipe: Recipe,
        train: ImageSet,
        validation: ImageSet | None,
        generator: torch.Generator,
    ) -> Self:
        """Hold pictures out of `train` if `validation` is None.

        Raises `OptionError` if no picture is left to train on.
        """
        if validation is not None:
            return cls(train, validation, train, False)
        rest, held = train.hold_out(recipe.validation_fraction, generator)
        if not len(rest):
            raise OptionError("every picture is held out: lower validation_fraction")
        return cls(rest, held, rest.followed_by(held), True)

    def to(self, device: torch.device) -> Self:
        rest, held, both = (each.to(device) for each in (self.rest, self.held, self.both))
        return replace(self, rest=rest, held=held, both=both)


@dataclass(frozen=True)
class _Frozen:
    """A network whose layers before the head are frozen while the head is fit."""

    training: Training
    spec: InputSpec

    @cached_property
    def _name(self) -> str:
        """The name of the head, the last linear layer.

        Raises `OptionError` if the last layer with parameters is not linear.
        """
        network = self.training.kept_network()
        black = torch.zeros(1, *self.spec.shape, dtype=torch.uint8, device=self.training.device)
        example = self.spec.normalize(black)
        name = features.embedding_layer(reading.layers(network.eval(), example))
        if name is None or not isinstance(network.get_submodule(name), nn.Linear):
            raise OptionError(
                f"{self.training.recipe.architecture} does not end in a linear layer, so its head "
                "can't be fit alone: train every layer, with --tune all"
            )
        return name

    @torch.inference_mode()
    def features(self, images: ImageSet, hooks: Hooks) -> Tensor:
        """Return the inputs of the head for all pictures, (N, D) float32 on the CPU.

        The network is in evaluation mode.
        """
        network = self.training.kept_network().eval()
        found: list[Tensor] = []

        def record(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            found.append(inputs[0].float().cpu())

        module = network.get_submodule(self._name)
        with module.register_forward_pre_hook(record):
            for batch in images.images.split(FEATURE_BATCH):
                pixels = self.spec.normalize(batch)
                network(pixels.contiguous(memory_format=self.training.layout))
                hooks.on_batch(len(batch))
        if not found:
            return torch.empty(0, module.get_parameter("weight").shape[1])
        return torch.cat(found)

    @torch.no_grad()
    def set_head(self, fitted: Head) -> None:
        """Copy the head's weights into the network, and into its moving average."""
        name = self._name
        average = self.training.average
        for network in [self.training.network] + ([average.module] if average else []):
            module = network.get_submodule(name)
            module.get_parameter("weight").copy_(fitted.weight)
            if module.bias is not None:
                module.get_parameter("bias").copy_(fitted.bias)


def _weights(recipe: Recipe, images: ImageSet) -> Tensor:
    weights = optimization.class_weights(recipe, images)
    return torch.ones(len(images.labels)) if weights is None else weights.cpu()


def _choose(recipe: Recipe, found: Tensor, images: ImageSet) -> Choice:
    weights = _weights(recipe, images)
    return head.choose(found, images.targets.cpu(), weights, recipe.seed, images.versions())


def _fit(recipe: Recipe, found: Tensor, images: ImageSet, penalty: float) -> Head:
    return head.fit(found, images.targets.cpu(), _weights(recipe, images), penalty)


def _metrics(fitted: Head, found: Tensor, images: ImageSet) -> Metrics:
    return evaluation.metrics(fitted.logits(found), images.targets.cpu())


def _crossed(choice: Choice, images: ImageSet) -> Metrics:
    return evaluation.metrics(choice.logits, images.targets.cpu()[choice.pictures])


def _answers(choice: Choice, found: Tensor, images: ImageSet) -> Answers:
    """The answers to the cross-validated pictures, each by a head that was fitted without it."""
    at = choice.pictures
    return Answers(choice.logits, found[at], images.targets.cpu()[at])


def _reason_not_to_tune(recipe: Recipe, judged: Metrics | None, count: int) -> str | None:
    """Return why the head alone is trained; None if all layers are to be trained."""
    if recipe.tune == "head":
        return "only the head was trained, as tune says"
    if recipe.epochs_to_run < 2:
        return "only the head was trained: epochs leaves none for the other layers"
    if judged is None:
        return "only the head was trained: no picture is held out to judge more by"
    mistakes = round((1 - judged.accuracy) * count)
    if mistakes < LEAST_MISTAKES:
        return (
            f"only the head was trained: it takes {mistakes} of {count:,} pictures held out for "
            "another class, and a gain on so few could be chance"
        )
    return None


def _note_time(seconds: float, pictures: int, epochs: int, hooks: Hooks) -> None:
    """Report through `on_note` that all layers are trained now, and about how long that takes.

    `seconds` is the time of the forward pass of one picture; the backward pass takes twice as long.
    """
    total = 3 * seconds * pictures * epochs
    text = f"{total:.0f} s" if total < 120 else f"{total / 60:.0f} min"
    hooks.on_note(
        f"the head is fit; now all layers are trained, {epochs} epochs in about {text} "
        "(--tune head leaves that out)"
    )


def pays(recipe: Recipe, first: Epoch, selected: Epoch, count: int) -> bool:
    """Whether the selected epoch is better than the head of epoch 1 by more than chance.

    The accuracy on the `count` pictures of validation must rise by more than its standard error.
    """
    if selected.number == 1 or recipe.selection == "last":
        return selected.number > 1
    assert first.validation is not None  # noqa: S101 (without it all layers are not trained)
    assert selected.validation is not None  # noqa: S101
    before = first.validation.accuracy
    error = math.sqrt(before * (1 - before) / count)
    return selected.validation.accuracy - before > error


def _verdict(recipe: Recipe, history: list[Epoch], selected: Epoch, count: int) -> str:
    """Describe whether training all layers has improved on the head alone."""
    if recipe.selection == "last":
        return f"all layers were trained, and epoch {selected.number} is kept, the last"
    before = _told(history[0], count)
    if selected.number == 1:
        others = [each for each in history[1:] if each.validation]
        best = max(others, key=lambda each: each.validation.accuracy if each.validation else 0)
        return (
            "the head alone is kept: training all layers validates no better than chance allows "
            f"({_told(best, count)}, the head {before})"
        )
    return (
        f"all layers were trained, which validates better ({_told(selected, count)}, the head "
        f"{before})"
    )


def _told(epoch: Epoch, count: int) -> str:
    found = epoch.validation
    if found is None:
        return "unknown"
    return (
        f"accuracy {found.accuracy:.4f} ({evaluation.interval(found.accuracy, count)}), "
        f"loss {found.loss:.4f}"
    )
