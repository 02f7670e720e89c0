"""Checkpoints: a state_dict, and the card with what is needed to rebuild, verify and serve it.

A repository is a folder of `<model>/<version>/card.json` and `weights.pt`.

    publish: network → temporary folder → fsync → rename to the next free version
    load:    folder → card checked → SHA-256 compared → state_dict → network on its device

A version appears whole or not at all, and is never changed afterwards.
"""

import hashlib
import re
import shutil
import stat
from collections import Counter
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

from models import features, files
from models.architectures import registry
from models.errors import FanlightError, InstallationError
from models.features import Layer
from models.preprocessing import InputSpec
from models.registry import proposal

CARD = "card.json"
WEIGHTS = "weights.pt"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_SURROGATE = re.compile("[\ud800-\udfff]")  # stands for a byte of a name that is not UTF-8
_LARGEST_CARD = 4 * 2**20  # bytes


class CheckpointError(FanlightError):
    """A checkpoint that can't be written or must not be trusted; the message says why."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TrainingRecord(_Part):
    """How the weights were trained."""

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
    """The metadata of a checkpoint: everything except the weights."""

    format: int = Field(1, ge=1, le=1, description="of the card itself")
    name: Annotated[str, Field(pattern=f"^{NAME.pattern}$", max_length=128)]
    version: int = Field(ge=1)
    architecture: str
    arguments: dict[str, JsonValue] = {}
    labels: tuple[str, ...] = Field(
        description="two or more, in the order of the logits", json_schema_extra={"minItems": 2}
    )
    input: InputSpec
    weights_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    parameters: int
    feature_layers: tuple[str, ...] = Field(description="in the order of the forward pass")
    metrics: dict[str, FiniteFloat] = {}
    training: TrainingRecord | SkipJsonSchema[None] = None

    @field_validator("labels")
    @classmethod
    def _are_classes(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if (problem := label_problem(labels)) is not None:
            raise ValueError(problem)
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
    turn an image of the `input` into one logit per label, or if the name, a label or a metric is
    invalid: a duplicate label, for example, or a loss that is not finite.
    """
    check_name(name)
    check_labels(labels)
    network.eval()
    layers = trial(network, input, len(labels))
    state_dict = {key: value.cpu().contiguous() for key, value in network.state_dict().items()}
    build(architecture, arguments or {}, len(labels), state_dict)
    model = repository / name
    model.mkdir(parents=True, exist_ok=True)
    draft = files.draft_in(model)
    draft.mkdir()
    try:
        with files.writing(draft / WEIGHTS) as file:
            torch.save(state_dict, file)
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


def check_labels(labels: Sequence[str]) -> None:
    """Raises `CheckpointError` for what can't be the labels of a classifier."""
    if (problem := label_problem(labels)) is not None:
        raise CheckpointError(problem)


def label_problem(labels: Sequence[str]) -> str | None:
    """Why these can't be the labels of a classifier, and what to do; None if they can."""
    if len(labels) < 2:
        return (
            f"a classifier needs two labels or more, not {len(labels)}: with one, each image gets "
            "it with probability 1; name every class, one for all other images if need be"
        )
    if any(not label.strip() for label in labels):
        return f"label {[bool(label.strip()) for label in labels].index(False)} is empty: name it"
    if repeated := [label for label, count in Counter(labels).items() if count > 1]:
        return f"labels must differ from each other: {repeated[0]!r} is there twice; rename one"
    if broken := [label for label in labels if _SURROGATE.search(label)]:
        return f"the label {broken[0]!r} is not UTF-8: rename it"
    return None


def _release(draft: Path, card: Card) -> Card:
    """Rename the draft to the next free version; another process may take a number first."""
    model = draft.parent
    version = max(versions(model), default=0)
    while True:
        version += 1
        card = card.model_copy(update={"version": version})
        content = card.model_dump_json(indent=2, exclude_none=True).encode() + b"\n"
        files.write(draft / CARD, content)
        target = model / str(version)
        try:
            draft.rename(target)
        except OSError:
            if target.exists():
                continue
            raise
        files.flush_folder(model)
        files.flush_folder(model.parent)  # which may be the first to name the model
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


def load_named(
    repository: Path, name: str, version: int | None, device: torch.device
) -> Checkpoint:
    """Find and load a model's version; errors begin with its folder. Raises `CheckpointError`."""
    folder = find(repository, name, version)
    try:
        return load(folder, device)
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error}") from error


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
    place = f"{source}: " if isinstance(source, Path) else ""
    try:
        state_dict = torch.load(source, map_location=device, weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{place}the weights can't be read: {error.strerror}") from error
    except Exception as error:  # torch raises whatever its unpickler or zip reader meets
        # torch's own message begins by advising to load the file without weights_only
        reason = str(error.__context__ or error).partition(". ")[0] or type(error).__name__
        raise CheckpointError(
            f"{place}the weights are not a file that torch.load(…, weights_only=True) takes; "
            f"save them with torch.save(network.state_dict(), …) ({reason})"
        ) from error
    if not isinstance(state_dict, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state_dict.items()
    ):
        raise CheckpointError(
            f"{place}the weights must be a state_dict: a dict of names to tensors"
        )
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
    except (registry.ArchitectureError, InstallationError, RuntimeError) as error:
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
    if not repository.is_dir():
        raise CheckpointError(
            f"there is no folder {repository}, in which {name!r} is looked for; publish a model "
            "into it, or name another repository"
        )
    if name not in names(repository):
        known = ", ".join(names(repository)) or "none"
        raise CheckpointError(
            f"no model {name!r} in the repository {repository}; "
            f"{proposal(name, names(repository))}there are: {known}"
        )
    there = versions(repository / name)
    if not there or version not in (None, *there):
        known = ", ".join(map(str, there)) or "none"
        raise CheckpointError(
            f"no version {'at all' if version is None else version} of {name!r}; there are: {known}"
        )
    return repository / name / str(version or there[-1])


def trial(network: nn.Module, input: InputSpec, num_classes: int) -> tuple[Layer, ...]:
    """Run one black image through the network, in evaluation mode; return the layers it used.

    Raises `CheckpointError` if the network doesn't return one finite logit per class.
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
