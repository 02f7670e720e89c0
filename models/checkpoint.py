"""Checkpoints: a state_dict, and the card with what is needed to rebuild, verify and serve it.

A repository is a folder of `<model>/<version>/card.json` and `weights.pt`; an imported graph has
`model.onnx` in its place.

    publish: network → temporary folder → fsync → rename to the next free version
    load:    folder → card checked → SHA-256 compared → state_dict → network on its device
                                                      → or graph → ONNX Runtime on the CPU

A version appears whole or not at all, and is never changed afterwards.
"""

import hashlib
import os
import re
import shutil
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import numpy as np
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

from models import features, files, weights_file
from models.allowance import ActivationLimit, Allowance, TooLargeNetworkError
from models.architectures import registry
from models.architectures.architecture import Architecture, ArchitectureError
from models.errors import FanlightError, InstallationError
from models.features import Layer, OpaqueNetwork
from models.graphs import network as graphs
from models.graphs.errors import GraphError
from models.permission import NOTHING, Permission
from models.preprocessing import InputSpec, Pixels
from models.registry import proposal

CARD = "card.json"
WEIGHTS = "weights.pt"
GRAPH = "model.onnx"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
MAX_LABELS = 100_000
MAX_LABEL_LENGTH = 1_000  # characters
MAX_SHOWN = 10  # labels in a message
MAX_ENTRIES = 100_000  # files and folders in a folder of the repository
_NUMBER = re.compile("[1-9][0-9]{0,17}")
_LARGEST_CARD = 4 * 2**20  # bytes
_MOST_VALUES = 250_000  # in a card
_OF_A_SUM = 1e-5  # that probabilities in float32 may differ from 1
_SURROGATE = re.compile("[\ud800-\udfff]")  # stands for a byte of a name that is not UTF-8
_UNSEEN = ("Cc", "Cf", "Zl", "Zp")  # Unicode's categories of controls, formats, separators of lines
_SEEN_FORMATS = frozenset(
    "\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2"
)


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
    weights_sha256: str = Field(
        pattern="^[0-9a-f]{64}$", description="of weights.pt, or of the model.onnx of a graph"
    )
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
class FileStamp:
    """A file as it was read: its SHA-256, and the status that is compared first."""

    sha256: str
    device: int
    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, file: BufferedReader, sha256: str) -> "FileStamp":
        status = os.fstat(file.fileno())
        return cls(sha256, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class Checkpoint:
    """A network in evaluation mode on its device, with the card that describes it.

    `stamps` are the files that it was read from, by name. `architecture` is what built it.
    """

    card: Card
    network: nn.Module
    layers: tuple[Layer, ...]
    device: torch.device
    stamps: Mapping[str, FileStamp] = field(default_factory=dict)
    architecture: Architecture | None = None

    @property
    def has_gradients(self) -> bool:
        """Whether it is a network of torch, not a graph that ONNX Runtime runs."""
        return not isinstance(self.network, OpaqueNetwork)


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

    The caller names the architecture, so its code may be imported.
    Raises `CheckpointError` if the architecture doesn't rebuild the network, if the network doesn't
    turn an image of the `input` into one logit per label, or if the name, a label or a metric is
    invalid: a duplicate label, for example, or a loss that is not finite.
    """
    check_name(name)
    check_labels(labels)
    network.eval()
    layers = trial(network, input, len(labels))
    state_dict = {key: value.cpu().contiguous() for key, value in network.state_dict().items()}
    build(_named(architecture), arguments or {}, len(labels), state_dict)
    return _published(
        repository / name,
        WEIGHTS,
        lambda file: torch.save(state_dict, file),
        architecture=architecture,
        arguments=dict(arguments or {}),
        labels=tuple(labels),
        input=input,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        feature_layers=tuple(layer.name for layer in layers),
        metrics=dict(metrics or {}),
        training=training,
    )


def publish_graph(
    repository: Path, graph: bytes, *, name: str, labels: Sequence[str], input: InputSpec
) -> Card:
    """Write an ONNX graph as the next version of the model `name`, and return its card.

    It takes normalised images (N, C, H, W) and gives logits. Raises `CheckpointError` as `publish`
    does, and for a graph that `load` would refuse.
    """
    check_name(name)
    check_labels(labels)
    network = _graph(graph, input, len(labels), None)
    layers = trial(network, input, len(labels))
    return _published(
        repository / name,
        GRAPH,
        lambda file: file.write(graph),
        architecture=graphs.ARCHITECTURE,
        labels=tuple(labels),
        input=input,
        parameters=network.count,
        feature_layers=tuple(layer.name for layer in layers),
    )


def _published(
    model: Path, file_name: str, write: Callable[[BinaryIO], object], **fields: Any
) -> Card:
    """Write the file and a card with these fields as the next version in the model's folder."""
    model.mkdir(parents=True, exist_ok=True)
    draft = files.draft_in(model)
    try:
        draft.mkdir()
        with files.writing(draft / file_name) as file:
            write(file)
        sha256 = _sha256(draft / file_name)
        return _release(draft, Card(name=model.name, version=1, weights_sha256=sha256, **fields))
    except ValidationError as error:
        raise CheckpointError(f"the card: {_problem(error)}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        with suppress(OSError):  # a model without versions, after an error
            model.rmdir()


def check_name(name: str) -> None:
    """Raises `CheckpointError` for what can't name a model."""
    if not NAME.fullmatch(name):
        raise CheckpointError(f"{name!r} can't name a model: it must match {NAME.pattern}")


def check_labels(labels: Sequence[str]) -> None:
    """Raises `CheckpointError` for what can't be the labels of a classifier."""
    if (problem := label_problem(labels)) is not None:
        raise CheckpointError(problem)


def check_same_labels(repository: Path, name: str, labels: Sequence[str]) -> None:
    """Raises `CheckpointError` if the model's highest version has others, or another order.

    Clients would get other classes under the same name, without a word.
    """
    there = versions(repository / name)
    if not there:
        return
    try:
        before = read_card(repository / name / str(there[-1])).labels
    except CheckpointError:  # it can't be served either
        return
    if before != tuple(labels):
        raise CheckpointError(
            f"{name}/{there[-1]} has the labels {_shown(before)}, and the new version would have "
            f"{_shown(labels)}: clients would get other classes under the same name. Take another "
            "--name, or --labels-changed if it is meant"
        )


def _shown(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - MAX_SHOWN} more" if len(labels) > MAX_SHOWN else ""
    return ", ".join(labels[:MAX_SHOWN]) + more


def label_problem(labels: Sequence[str]) -> str | None:
    """Why these can't be the labels of a classifier, and what to do; None if they can."""
    if len(labels) > MAX_LABELS:
        return f"there are {len(labels):,} labels; at most {MAX_LABELS:,} are possible"
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
    for label in labels:
        if (unseen := _unseen(label)) is not None:
            return (
                f"the label {label!a} has the character U+{ord(unseen):04X}, which is not "
                "printed, or changes how others are: rename it"
            )
        if len(label) > MAX_LABEL_LENGTH:
            return (
                f"the label {label[:40]!r}… has {len(label):,} characters; at most "
                f"{MAX_LABEL_LENGTH:,} are possible: rename it"
            )
    return None


def _unseen(text: str) -> str | None:
    """The first character that controls a terminal, a line or the direction of text, if any.

    Joiners (U+200C, U+200D), which some scripts and emoji need, are not among them, nor are the
    signs that Arabic and Syriac write around numbers.
    """
    if text.isascii() and text.isprintable():
        return None
    found = (char for char in text if unicodedata.category(char) in _UNSEEN)
    return next((char for char in found if char not in _SEEN_FORMATS), None)


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


def load(
    folder: Path,
    device: torch.device,
    max_bytes: int | None = None,
    permission: Permission = NOTHING,
    threads: int | None = None,
) -> Checkpoint:
    """Rebuild the network of a version's folder, in evaluation mode on the device.

    An architecture that is code of others is imported only with `permission`. A graph is run on the
    CPU, whatever the device, by so many `threads`; by default those of torch.

    Raises `CheckpointError` if anything doesn't fit: the card, the folder's name, the SHA-256 of
    the weights, the names or shapes in the state_dict, or the number of labels; and for weights of
    more than `max_bytes`. What the files claim is checked before memory is allocated for it.
    """
    card, card_stamp = _read_card(folder)
    is_graph = card.architecture == graphs.ARCHITECTURE
    name = GRAPH if is_graph else WEIGHTS
    with _opened(folder, name) as file:
        stamp = FileStamp.of(file, card.weights_sha256)
        size = stamp.size
        if max_bytes is not None and size > max_bytes:
            raise CheckpointError(
                f"{name} has {size:,} bytes; at most {max_bytes:,} are loaded "
                "(setting max_checkpoint_bytes)"
            )
        if hashlib.file_digest(file, "sha256").hexdigest() != card.weights_sha256:
            raise CheckpointError(f"{name} does not have the SHA-256 that {CARD} states")
        if is_graph:
            file.seek(0)
            content = file.read(size)
        else:
            state_dict = read_state_dict(file, device)
    network: nn.Module
    architecture = None
    if is_graph:
        device = torch.device("cpu")
        network = _graph(content, card.input, len(card.labels), threads)
    else:
        architecture = _named(card.architecture, permission)
        network = build(architecture, card.arguments, len(card.labels), state_dict)
    network.to(device).eval()
    layers = trial(network, card.input, len(card.labels))
    stamps = {CARD: card_stamp, name: stamp}
    return Checkpoint(card, network, layers, device, stamps, architecture)


def _graph(
    content: bytes, input: InputSpec, num_classes: int, threads: int | None
) -> graphs.OnnxNetwork:
    """The network of a graph; raises `CheckpointError`."""
    try:
        return graphs.load(content, input, num_classes, threads or torch.get_num_threads())
    except (GraphError, InstallationError) as error:
        raise CheckpointError(f"{GRAPH}: {error}") from error


def changes(
    folder: Path, stamps: Mapping[str, FileStamp]
) -> tuple[str | None, Mapping[str, FileStamp]]:
    """Why the files of a version are not those with these stamps, or None; and their new stamps.

    A file is read only if its status has changed. Raises `OSError` if a file can't be read.
    """
    current = dict(stamps)
    for name, before in stamps.items():
        try:
            with files.open_beneath(
                folder.parent.parent, folder.parent.name, folder.name, name
            ) as file:
                now = FileStamp.of(file, before.sha256)
                if now != before:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                    if digest != before.sha256:
                        return f"{name} is not the one that was loaded", current
                    current[name] = replace(now, sha256=digest)
        except FileNotFoundError:
            folder.stat()  # if it is gone as a whole, that says nothing about the file
            return f"{name} was removed", current
        except files.UnsafeFileError as error:
            return str(error), current
    return None, current


def load_named(
    repository: Path,
    name: str,
    version: int | None,
    device: torch.device,
    permission: Permission = NOTHING,
) -> Checkpoint:
    """Find and load a model's version; errors begin with its folder. Raises `CheckpointError`."""
    folder = find(repository, name, version)
    try:
        return load(folder, device, permission=permission)
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error}") from error


def read_card(folder: Path) -> Card:
    """The card of a version's folder, without its weights; raises `CheckpointError`."""
    return _read_card(folder)[0]


def _read_card(folder: Path) -> tuple[Card, FileStamp]:
    with _opened(folder, CARD) as file:
        content = file.read(_LARGEST_CARD + 1)
        stamp = FileStamp.of(file, hashlib.sha256(content).hexdigest())
    if len(content) > _LARGEST_CARD:
        raise CheckpointError(f"{CARD} is larger than {_LARGEST_CARD:,} bytes")
    if sum(map(content.count, (b",", b"[", b"{"))) > _MOST_VALUES:  # a hundred bytes for each
        raise CheckpointError(f"{CARD} has more than {_MOST_VALUES:,} values")
    try:
        card = Card.model_validate_json(content)
    except ValidationError as error:
        raise CheckpointError(f"{CARD}: {_problem(error)}") from error
    if (card.name, str(card.version)) != (folder.parent.name, folder.name):
        raise CheckpointError(
            f"{CARD} is of {card.name}/{card.version}, but lies in the folder "
            f"{folder.parent.name}/{folder.name}"
        )
    return card, stamp


@contextmanager
def _opened(folder: Path, name: str) -> Iterator[BufferedReader]:
    """A file of a version's folder; raises `CheckpointError` if it can't be read or is unsafe."""
    try:
        with files.open_beneath(
            folder.parent.parent, folder.parent.name, folder.name, name
        ) as file:
            yield file
    except OSError as error:
        raise CheckpointError(f"{name} can't be read: {error.strerror}") from error
    except files.UnsafeFileError as error:
        raise CheckpointError(str(error)) from error


def read_state_dict(source: Path | BinaryIO, device: torch.device) -> dict[str, Tensor]:
    """A pure state_dict: names to tensors, nothing else; raises `CheckpointError`.

    Nothing that the file contains is executed (`weights_only=True`), and it takes about as much
    memory as the file is large.
    """
    if isinstance(source, Path):
        try:
            with source.open("rb") as file:
                return _read_state_dict(file, device, f"{source}: ")
        except OSError as error:
            raise CheckpointError(
                f"{source}: the weights can't be read: {error.strerror}"
            ) from error
    return _read_state_dict(source, device, "")


def _read_state_dict(file: BinaryIO, device: torch.device, place: str) -> dict[str, Tensor]:
    try:
        weights_file.check(file, file.seek(0, os.SEEK_END))
        state_dict = torch.load(file, map_location=device, weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch raises whatever its unpickler or zip reader meets
        # torch's own message begins by advising to load the file without weights_only
        said = error if isinstance(error, FanlightError) else error.__context__ or error
        reason = str(said).partition(". ")[0][:500] or type(error).__name__
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


def _named(name: str, permission: Permission | None = None) -> Architecture:
    """The architecture of that name, by default with permission; raises `CheckpointError`."""
    try:
        return (
            registry.named(name) if permission is None else registry.architecture(name, permission)
        )
    except (ArchitectureError, InstallationError) as error:
        raise CheckpointError(str(error)) from error


def build(
    architecture: Architecture,
    arguments: Mapping[str, Any],
    num_classes: int,
    state_dict: Mapping[str, Tensor],
) -> nn.Module:
    """The architecture with those weights, strictly; raises `CheckpointError`."""
    try:
        with Allowance(state_dict):
            network = architecture.build(num_classes, **arguments)
        network.load_state_dict(state_dict, strict=True)
    except TooLargeNetworkError as error:
        raise CheckpointError(f"architecture {architecture.name!r}: {error}") from error
    except (ArchitectureError, InstallationError, RuntimeError) as error:
        reason = " ".join(str(error).split())  # torch lists keys in lines of their own
        raise CheckpointError(reason[:2000]) from error
    return network


def names(repository: Path) -> list[str]:
    """The models of a repository, sorted."""
    return sorted(_folders(repository, NAME))


def versions(model: Path) -> list[int]:
    """The published versions in a model's folder, rising; drafts are not among them."""
    return sorted(map(int, _folders(model, _NUMBER)))


def _folders(folder: Path, pattern: re.Pattern[str]) -> list[str]:
    """The names of the folders in a folder that match; raises `CheckpointError` for too many.

    What the listing itself tells is not asked of the file system again: a folder may hang.
    """
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        found = list(islice(entries, MAX_ENTRIES + 1))
    if len(found) > MAX_ENTRIES:
        raise CheckpointError(
            f"{folder} has more than {MAX_ENTRIES:,} entries; move those away that are not to be "
            "served"
        )
    return [each.name for each in found if pattern.fullmatch(each.name) and each.is_dir()]


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
    """Run each of `probes` through the network, in evaluation mode; return the layers it used.

    Raises `CheckpointError` if the network doesn't return one finite logit per class, or if it
    returns probabilities.
    """
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    layers: Sequence[Layer] = ()
    answers: list[Tensor] = []
    for name, pixels in probes(input):
        batch = input.normalize(torch.from_numpy(pixels)[None].to(device))
        try:
            with torch.inference_mode(), nullcontext() if layers else ActivationLimit():
                logits = network(batch)
            layers = layers or features.layers(network, batch)
        except torch.OutOfMemoryError:
            raise
        except TooLargeNetworkError as error:
            raise CheckpointError(
                f"the network is too large for an input of shape {input.shape}: {error}"
            ) from error
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
                f"the network answers {name} with what is not a finite number; train it again, "
                "with a lower learning rate, say"
            )
        answers.append(logits.double())
    if all((a >= 0).all() and (a.sum() - 1).abs() < _OF_A_SUM for a in answers):
        raise CheckpointError(
            "the network answers with probabilities, which sum to 1, where logits are needed: "
            "leave out the softmax at the end of its forward pass, which has no weights"
        )
    return tuple(layers)


def probes(input: InputSpec) -> Iterator[tuple[str, Pixels]]:
    """Images that every network must answer: flat ones and noise, uint8 (C, H, W), by name."""
    noise = np.random.default_rng(0)
    for name, level in (("a black image", 0), ("a white image", 255), ("a grey image", 128)):
        yield name, np.full(input.shape, level, np.uint8)
    yield "noise", noise.integers(0, 256, input.shape, np.uint8)
    yield "noise of black and white", noise.integers(0, 2, input.shape, np.uint8) * 255


def _problem(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))[:200]  # names of the file, which may be anything
    return f"{ascii(place)[1:-1] or 'the file'}: {first['msg']}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
