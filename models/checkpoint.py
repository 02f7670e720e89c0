"""Checkpoints: a network's state_dict and the card that tells how to rebuild, serve and trust it.

A repository is a folder of `<model>/<version>/card.json` and `weights.pt`.

    publish: network → temporary folder → fsync → rename to the next free version
    load:    folder → card checked → SHA-256 compared → state_dict → network on its device

A version appears whole or not at all, and is never changed afterwards.
"""

import hashlib
import os
import re
import shutil
import stat
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    JsonValue,
    ValidationError,
    field_validator,
)
from pydantic.json_schema import SkipJsonSchema
from torch import Tensor, nn

from models import features, registry
from models.features import Layer
from models.preprocessing import InputSpec

CARD = "card.json"
WEIGHTS = "weights.pt"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_LARGEST_CARD = 4 * 2**20  # bytes


class CheckpointError(ValueError):
    """A checkpoint that can't be written or must not be trusted; the message says why."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TrainingRecord(_Part):
    """How the weights came to be."""

    recipe: dict[str, JsonValue]
    dataset: str
    seed: int
    epochs: int = Field(description="epochs run")
    selected_epoch: int = Field(description="the epoch whose weights these are, counted from 1")
    seconds: float = Field(description="wall-clock time of the training")
    device: str
    torch: str
    commit: str = Field(description="Fanlight's commit, ending in -dirty if files had changed")
    finished: str = Field(description="ISO 8601, UTC")


class Card(_Part):
    """Everything about a checkpoint but the numbers themselves."""

    format: int = Field(1, ge=1, le=1, description="of the card itself")
    name: Annotated[str, Field(pattern=f"^{NAME.pattern}$", max_length=128)]
    version: int = Field(ge=1)
    architecture: str
    arguments: dict[str, JsonValue] = {}
    labels: tuple[str, ...] = Field(min_length=1, description="in the order of the logits")
    input: InputSpec
    weights_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    parameters: int
    feature_layers: tuple[str, ...] = Field(description="in the order of the forward pass")
    metrics: dict[str, FiniteFloat] = {}
    training: TrainingRecord | SkipJsonSchema[None] = None

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(labels)) != len(labels):
            raise ValueError("labels must differ from each other")
        return labels


@dataclass(frozen=True)
class Checkpoint:
    """A network in evaluation mode on its device, with the card that describes it."""

    card: Card
    network: nn.Module
    layers: tuple[Layer, ...]
    device: torch.device


def publish(
    repository: Path,
    network: nn.Module,
    *,
    name: str,
    architecture: str,
    labels: Sequence[str],
    input: InputSpec,
    arguments: Mapping[str, JsonValue] | None = None,
    metrics: Mapping[str, float] | None = None,
    training: TrainingRecord | None = None,
) -> Card:
    """Write the network as the next version of the model `name`, and return its card.

    Raises `CheckpointError` if the architecture doesn't rebuild the network, if the network doesn't
    turn a picture of the `input` into one logit a label, or if the name, a label or a metric can't
    stand in a card: two labels alike, say, or a loss that is not finite.
    """
    check_name(name)
    network.eval()
    layers = trial(network, input, len(labels))
    state_dict = {key: value.cpu().contiguous() for key, value in network.state_dict().items()}
    build(architecture, arguments or {}, len(labels), state_dict)
    model = repository / name
    model.mkdir(parents=True, exist_ok=True)
    draft = model / f".draft-{uuid.uuid4().hex}"
    draft.mkdir()
    try:
        with (draft / WEIGHTS).open("wb") as file:
            torch.save(state_dict, file)
            _flush(file)
        card = Card(
            name=name,
            version=1,
            architecture=architecture,
            arguments=dict(arguments or {}),
            labels=tuple(labels),
            input=input,
            weights_sha256=_sha256(draft / WEIGHTS),
            parameters=sum(parameter.numel() for parameter in network.parameters()),
            feature_layers=tuple(layer.name for layer in layers),
            metrics=dict(metrics or {}),
            training=training,
        )
        return _release(draft, card)
    except ValidationError as error:
        raise CheckpointError(f"the card: {_problem(error)}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def check_name(name: str) -> None:
    """Raises `CheckpointError` for what can't name a model."""
    if not NAME.fullmatch(name):
        raise CheckpointError(f"{name!r} can't name a model: it must match {NAME.pattern}")


def _release(draft: Path, card: Card) -> Card:
    """Rename the draft to the next free version; another process may take a number first."""
    model = draft.parent
    version = max(versions(model), default=0)
    while True:
        version += 1
        card = card.model_copy(update={"version": version})
        with (draft / CARD).open("wb") as file:
            file.write(card.model_dump_json(indent=2, exclude_none=True).encode() + b"\n")
            _flush(file)
        _flush_folder(draft)
        target = model / str(version)
        try:
            draft.rename(target)
        except OSError:
            if target.exists():
                continue
            raise
        _flush_folder(model)
        return card


def load(folder: Path, device: torch.device) -> Checkpoint:
    """Rebuild the network of a version's folder, in evaluation mode on the device.

    Raises `CheckpointError` if anything doesn't fit: the card, the folder's name, the SHA-256 of
    the weights, the names or shapes in the state_dict, or the number of labels.
    """
    card = read_card(folder)
    try:
        with (folder / WEIGHTS).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != card.weights_sha256:
                raise CheckpointError(f"{WEIGHTS} does not have the SHA-256 that {CARD} states")
            file.seek(0)
            state_dict = read_state_dict(file, device)
    except OSError as error:
        raise CheckpointError(f"{WEIGHTS} can't be read: {error.strerror}") from error
    network = build(card.architecture, card.arguments, len(card.labels), state_dict)
    network.to(device).eval()
    layers = trial(network, card.input, len(card.labels))
    return Checkpoint(card, network, layers, device)


def read_card(folder: Path) -> Card:
    """The card of a version's folder, without its weights; raises `CheckpointError`."""
    path = folder / CARD
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be read for ever
            raise CheckpointError(f"{CARD} is not a file")
        with path.open("rb") as file:
            content = file.read(_LARGEST_CARD + 1)
        if len(content) > _LARGEST_CARD:
            raise CheckpointError(f"{CARD} is larger than {_LARGEST_CARD:,} bytes")
        card = Card.model_validate_json(content)
    except OSError as error:
        raise CheckpointError(f"{CARD} can't be read: {error.strerror}") from error
    except ValidationError as error:
        raise CheckpointError(f"{CARD}: {_problem(error)}") from error
    if (card.name, str(card.version)) != (folder.parent.name, folder.name):
        raise CheckpointError(
            f"{CARD} is of {card.name}/{card.version}, but lies in the folder "
            f"{folder.parent.name}/{folder.name}"
        )
    return card


def read_state_dict(source: Path | BinaryIO, device: torch.device) -> dict[str, Tensor]:
    """A pure state_dict: names to tensors, nothing else; raises `CheckpointError`.

    Nothing that the file contains is executed (`weights_only=True`).
    """
    try:
        state_dict = torch.load(source, map_location=device, weights_only=True)
    except OSError as error:
        raise CheckpointError(f"the weights can't be read: {error.strerror}") from error
    except Exception as error:  # torch raises whatever its unpickler or zip reader meets
        # torch's own message begins by advising to load the file without weights_only
        reason = str(error.__context__ or error).partition(". ")[0] or type(error).__name__
        raise CheckpointError(
            "the weights are not a file that torch.load(…, weights_only=True) takes; "
            f"save them with torch.save(network.state_dict(), …) ({reason})"
        ) from error
    if not isinstance(state_dict, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state_dict.items()
    ):
        raise CheckpointError("the weights must be a state_dict: a dict of names to tensors")
    return dict(state_dict)


def build(
    architecture: str,
    arguments: Mapping[str, Any],
    num_classes: int,
    state_dict: Mapping[str, Tensor],
) -> nn.Module:
    """The architecture with those weights, strictly; raises `CheckpointError`."""
    try:
        network = registry.architecture(architecture).build(num_classes, **arguments)
        network.load_state_dict(state_dict, strict=True)
    except (registry.ArchitectureError, RuntimeError) as error:
        reason = " ".join(str(error).split())  # torch lists keys in lines of their own
        raise CheckpointError(reason[:2000]) from error
    return network


def names(repository: Path) -> list[str]:
    """The models of a repository, sorted."""
    if not repository.is_dir():
        return []
    return sorted(p.name for p in repository.iterdir() if p.is_dir() and NAME.fullmatch(p.name))


def versions(model: Path) -> list[int]:
    """The published versions in a model's folder, rising; drafts are not among them."""
    if not model.is_dir():
        return []
    return sorted(
        int(p.name) for p in model.iterdir() if re.fullmatch("[1-9][0-9]*", p.name) and p.is_dir()
    )


def find(repository: Path, name: str, version: int | None = None) -> Path:
    """The folder of a model's version, by default the highest; raises `CheckpointError`."""
    if name not in names(repository):
        known = ", ".join(names(repository)) or "none"
        raise CheckpointError(
            f"no model {name!r} in the repository {repository}; there are: {known}"
        )
    there = versions(repository / name)
    if not there or version not in (None, *there):
        known = ", ".join(map(str, there)) or "none"
        raise CheckpointError(f"no version {version or 'at all'} of {name!r}; there are: {known}")
    return repository / name / str(version or there[-1])


def trial(network: nn.Module, input: InputSpec, num_classes: int) -> tuple[Layer, ...]:
    """Run one black picture through the network, in evaluation mode; the layers that it passed.

    Raises `CheckpointError` if the network doesn't answer with one finite logit a class.
    """
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    batch = input.normalize(torch.zeros(1, *input.shape, dtype=torch.uint8, device=device))
    try:
        with torch.inference_mode():
            logits = network(batch)
        layers = features.layers(network, batch)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise CheckpointError(
            f"the network does not take an input of shape {input.shape}: {error}"
        ) from error
    if logits.shape != (1, num_classes):
        raise CheckpointError(
            f"the network answers with shape {tuple(logits.shape)} where {num_classes} labels "
            f"need (1, {num_classes})"
        )
    if not logits.isfinite().all():
        raise CheckpointError(
            "the network answers a black picture with what is not a finite number"
        )
    return tuple(layers)


def _problem(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
