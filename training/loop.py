"""The training loop: data set and recipe → the weights of the best epoch.

All pictures lie on the device as uint8; a batch is gathered by indices, made float32, normalised
and augmented there. Losses are summed on the device, so that no step waits to read one.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import registry
from models.preprocessing import InputSpec
from training import augmentation
from training.datasets import ImageSet
from training.recipes import Recipe

EVALUATION_BATCH = 500


@dataclass(frozen=True)
class Metrics:
    """Mean cross-entropy in nats, and the fraction of pictures whose top class is theirs."""

    loss: float
    accuracy: float


@dataclass(frozen=True)
class Epoch:
    """One row of the history; `number` counts from 1.

    `train` is the mean over the epoch's steps, while the weights change and dropout drops.
    """

    number: int
    train: Metrics
    validation: Metrics | None


@dataclass(frozen=True)
class Fitted:
    """The network with the weights of the selected epoch, in evaluation mode."""

    network: nn.Module
    history: list[Epoch]
    selected: Epoch


def fit(
    recipe: Recipe,
    train: ImageSet,
    spec: InputSpec,
    device: torch.device,
    on_batch: Callable[[int], None] = lambda count: None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Fitted:
    """Train the recipe's network and select an epoch by the pictures held out of `train`.

    The selected epoch has the highest validation accuracy, and of equals the lowest loss.
    `on_batch` hears the pictures of each step, `on_epoch` each finished epoch. torch's global
    generator is seeded inside and restored afterwards. Raises `ValueError` if no picture is left to
    train on.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(recipe.seed)
        generator = torch.Generator().manual_seed(recipe.seed)
        train, validation = train.hold_out(recipe.validation_fraction, generator)
        if not len(train):
            raise ValueError("every picture is held out: lower validation_fraction")
        train, validation = train.to(device), validation.to(device)
        network = build_network(recipe, len(train.labels), device)
        optimizer = build_optimizer(recipe, network)

        history: list[Epoch] = []
        selected, weights = None, None
        for number in range(1, recipe.epochs + 1):
            network.train()
            trained = train_one_epoch(network, train, spec, recipe, optimizer, generator, on_batch)
            checked = evaluate(network, validation, spec) if len(validation) else None
            epoch = Epoch(number, trained, checked)
            history.append(epoch)
            if selected is None or _rank(epoch) >= _rank(selected):
                selected, weights = epoch, copy.deepcopy(network.state_dict())
            on_epoch(epoch)

    assert selected is not None  # noqa: S101 (a recipe has at least one epoch)
    assert weights is not None  # noqa: S101
    network.load_state_dict(weights)
    return Fitted(network.eval(), history, selected)


def build_network(recipe: Recipe, num_classes: int, device: torch.device) -> nn.Module:
    """The recipe's network on the device, freshly initialised from torch's global generator.

    It is laid out channels_last, in which convolutions are quicker, also on a CPU.
    """
    network = registry.architecture(recipe.architecture).build(num_classes).to(device)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def build_optimizer(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimizer for all parameters of the network."""
    if recipe.optimizer == "adam":
        return torch.optim.Adam(network.parameters(), lr=recipe.learning_rate, fused=True)
    return torch.optim.SGD(network.parameters(), lr=recipe.learning_rate, fused=True)


def train_one_epoch(
    network: nn.Module,
    train: ImageSet,
    spec: InputSpec,
    recipe: Recipe,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    on_batch: Callable[[int], None] = lambda count: None,
) -> Metrics:
    """One pass over all pictures in random order, the last, smaller batch included."""
    device = train.targets.device
    loss_sum, correct = torch.zeros((), device=device), torch.zeros((), device=device)
    order = torch.randperm(len(train), generator=generator).to(device)
    for indices in order.split(recipe.batch_size):
        batch = _augmented(spec.normalize(train.images[indices]), recipe, generator)
        targets = train.targets[indices]
        with torch.autocast(device.type, torch.bfloat16, recipe.precision == "bfloat16"):
            logits = network(batch.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits.float(), targets)
        optimizer.zero_grad()
        (loss + recipe.l2 * _sum_of_squares(network) if recipe.l2 else loss).backward()
        optimizer.step()
        loss_sum += loss.detach() * len(indices)
        correct += (logits.argmax(1) == targets).sum()
        on_batch(len(indices))
    return Metrics(loss_sum.item() / len(train), correct.item() / len(train))


def evaluate(network: nn.Module, images: ImageSet, spec: InputSpec) -> Metrics:
    """Loss and accuracy over all pictures; leaves the network in evaluation mode."""
    logits = predict(network, images, spec)
    loss = F.cross_entropy(logits, images.targets)
    accuracy = (logits.argmax(1) == images.targets).float().mean()
    return Metrics(loss.item(), accuracy.item())


@torch.inference_mode()
def predict(network: nn.Module, images: ImageSet, spec: InputSpec) -> Tensor:
    """Logits (N, num_classes) of all pictures, in their order and on their device."""
    network.eval()
    return torch.cat(
        [network(spec.normalize(batch)).float() for batch in images.images.split(EVALUATION_BATCH)]
    )


def _rank(epoch: Epoch) -> tuple[float, float]:
    if epoch.validation is None:
        return 0.0, 0.0  # all equal: the last is taken
    return epoch.validation.accuracy, -epoch.validation.loss


def _augmented(batch: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    if recipe.flip:
        batch = augmentation.flip(batch, generator)
    if recipe.crop_padding:
        batch = augmentation.crop(batch, recipe.crop_padding, generator)
    return batch


def _sum_of_squares(network: nn.Module) -> Tensor:
    return torch.stack([parameter.square().sum() for parameter in network.parameters()]).sum()
