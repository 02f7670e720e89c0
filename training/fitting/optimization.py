"""Optimisation by a recipe: its optimizer, learning-rate schedule, loss and penalties."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
)

from models.errors import OptionError
from training.data.datasets import ImageSet
from training.recipes.recipe import Recipe

RISE = 0.25  # the part of one-cycle's steps in which the learning rate rises


def check_precision(recipe: Recipe, device: torch.device) -> None:
    """Check that the device can train in `recipe.precision`.

    Raises `OptionError` for float16 on a CPU.
    """
    if recipe.precision == "float16" and device.type == "cpu":
        raise OptionError(
            "precision float16 is for GPUs, and this training runs on a CPU: take float32, or "
            "bfloat16, which some processors are quick in"
        )


def autocast(recipe: Recipe, device: torch.device) -> torch.autocast:
    """Return the context of the forward pass in the recipe's precision."""
    dtype = torch.float16 if recipe.precision == "float16" else torch.bfloat16
    return torch.autocast(device.type, dtype, recipe.precision != "float32")


def build_scaler(recipe: Recipe, device: torch.device) -> torch.amp.GradScaler:
    """Return what scales the loss in float16, whose range is small; else it changes nothing.

    A step whose gradients are not finite is left out, and the next ones are scaled less.
    """
    check_precision(recipe, device)
    return torch.amp.GradScaler(device.type, enabled=recipe.precision == "float16")


def build_optimizer(recipe: Recipe, network: nn.Module) -> Optimizer:
    """The recipe's optimizer for all parameters of the network that are not frozen."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    rate, decay = _rate(recipe), recipe.weight_decay
    if recipe.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=rate, weight_decay=decay, fused=True)
    return torch.optim.SGD(
        parameters,
        lr=rate,
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
        weight_decay=decay,
        fused=True,
    )


class Schedule:
    """The learning-rate schedule: by step, or by epoch from the validation loss (`plateau`)."""

    def __init__(self, recipe: Recipe, optimizer: Optimizer, steps: int) -> None:
        """`steps` is the number of steps of the whole training."""
        self._by_step: LRScheduler | None = None
        self._by_epoch: ReduceLROnPlateau | None = None
        if recipe.schedule == "one-cycle":
            self._by_step = OneCycleLR(
                optimizer,
                max_lr=_rate(recipe),
                total_steps=steps + 1,  # one more is asked for after the last step
                pct_start=max(RISE, 1.5 / (steps + 1)),  # torch divides by 0 where 1 step rises
                anneal_strategy="linear",
                cycle_momentum=False,
            )
        elif recipe.schedule == "cosine":
            self._by_step = CosineAnnealingLR(optimizer, T_max=steps)
        elif recipe.schedule == "plateau":
            self._by_epoch = ReduceLROnPlateau(
                optimizer, factor=0.5, patience=0, threshold=1e-3, threshold_mode="abs", min_lr=1e-5
            )

    def after_step(self) -> None:
        if self._by_step is not None:
            self._by_step.step()

    def after_epoch(self, validation_loss: float | None) -> None:
        """Update the learning rate of the schedule `plateau` by the validation loss, in nats.

        With None, and for other schedules, nothing changes.
        """
        if self._by_epoch is not None and validation_loss is not None:
            self._by_epoch.step(validation_loss)

    def state_dict(self) -> dict[str, object]:
        inner = self._by_step or self._by_epoch
        return inner.state_dict() if inner is not None else {}

    def load_state_dict(self, state: dict[str, object]) -> None:
        inner = self._by_step or self._by_epoch
        if inner is not None:
            inner.load_state_dict(state)


def class_weights(recipe: Recipe, train: ImageSet) -> Tensor | None:
    """The weight of each class's pictures in the loss, (num_classes,); None if all weigh the same.

    With balanced weights a class counts as much as any other, however few pictures it has.
    """
    if recipe.class_weights == "none":
        return None
    counts = torch.bincount(train.targets, minlength=len(train.labels)).clamp(min=1)
    return len(train) / (len(train.labels) * counts.float())


def picture_weights(class_weights: Tensor | None, targets: Tensor) -> Tensor:
    """Return the weight of each picture in the loss, (N,), by its target."""
    if class_weights is None:
        return torch.ones(len(targets), device=targets.device)
    return class_weights[targets]


def loss_function(recipe: Recipe, train: ImageSet) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss of logits (N, num_classes) and targets (N,): cross-entropy.

    It has the recipe's label smoothing and class weights; see `class_weights`.
    """
    weights = class_weights(recipe, train)

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        smoothing = recipe.label_smoothing
        if weights is None:
            return F.cross_entropy(logits, targets, label_smoothing=smoothing)
        # torch's own weights would weigh the smoothed part by class, and favour the rare ones in it
        each = F.cross_entropy(logits, targets, label_smoothing=smoothing, reduction="none")
        return (weights[targets] * each).sum() / weights[targets].sum()

    return loss


def penalty(recipe: Recipe, network: nn.Module) -> Tensor | None:
    """Return the recipe's penalty on the parameters, which is added to the loss; None without one.

    The gradient of a norm is taken as 0 where all its values are 0.
    """
    parameters = list(network.parameters())
    terms = []
    if recipe.l1:
        terms.append(recipe.l1 * torch.stack([p.abs().sum() for p in parameters]).sum())
    if recipe.l2:
        terms.append(recipe.l2 * torch.stack([p.square().sum() for p in parameters]).sum())
    if recipe.l2_norm:
        norms = torch.stack([torch.linalg.vector_norm(p) for p in parameters])
        terms.append(recipe.l2_norm * norms.sum())
    return torch.stack(terms).sum() if terms else None


def _rate(recipe: Recipe) -> float:
    if recipe.learning_rate is None:
        raise ValueError("the recipe has no learning_rate yet")
    return recipe.learning_rate
