"""A network → the next version of a model: temporary folder → fsync → one rename."""

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import torch
from pydantic import JsonValue, ValidationError
from torch import nn

from models import faults, files
from models.checkpoint.card import Card, TrainingRecord
from models.checkpoint.errors import CheckpointError
from models.checkpoint.folder import check_name, contents, versions
from models.checkpoint.labels import check_labels
from models.checkpoint.network import GRAPH, WEIGHTS, build, named, network_of_graph
from models.checkpoint.place import CARD, Form, Place
from models.checkpoint.stamps import opened
from models.checkpoint.trial import trial
from models.graphs import network as graphs
from models.preprocessing import InputSpec
from models.remote.address import address_of
from models.trust import Fitted
from models.trust import file as trust_file

IMPORTED = "it was imported; fanlight calibrate NAME --data FOLDER adds calibration and familiarity"
"""Why a model from elsewhere has no trust."""


def check_target(repository: Path, name: str) -> None:
    """Raise `CheckpointError` if no version of the model can be published in a repository.

    Called before long work, whose result would be lost. A folder that holds the versions of one
    model takes further ones of it. One that is itself a version takes none.
    """
    _model_folder(repository, name)


def _model_folder(repository: Path, name: str) -> Path:
    """Return the folder in which the model's next version is published."""
    if (address := address_of(repository)) is not None:
        raise CheckpointError(
            f"nothing can be published at {address} itself: publish to a folder, and then run "
            f"fanlight push {name} {address}"
        )
    inside = contents(repository)
    if inside.form is Form.NESTED:
        return repository / name
    to_do = (
        "publish to a folder with a folder for each model in it, which may be a new one, and name "
        "it (--repository; calibrate: --publish-to; or FANLIGHT_REPOSITORY)"
    )
    (own,) = inside.names
    if inside.form is Form.VERSION:
        raise CheckpointError(
            f"{repository} is a single version, of {own}: it holds {CARD}, and nothing can be "
            f"published in it; {to_do}"
        )
    if own != name:
        raise CheckpointError(
            f"{repository} holds the versions of {own}, by their cards, and no other model can be "
            f"published in it, such as {name!r}; {to_do}"
        )
    return repository


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
    trust: Fitted | None = None,
) -> Card:
    """Write the network as the next version of the model `name`, and return its card.

    `trust` is what was fitted on the network's answers, or notes on why nothing was. The
    architecture's code may be imported, since the caller names it.

    Raises `CheckpointError` if the architecture doesn't rebuild the network, if the network doesn't
    turn an image of the `input` into one logit per label, or if the name, a label or a metric is
    invalid: a duplicate label, for example, or a loss that is not finite.
    """
    check_name(name)
    check_labels(labels)
    network.eval()
    layers = trial(network, input, len(labels)).layers
    state_dict = {key: value.cpu().contiguous() for key, value in network.state_dict().items()}
    build(named(architecture), arguments or {}, len(labels), state_dict)
    return _published(
        _model_folder(repository, name),
        name,
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
        trust=trust,
    )


def publish_graph(
    repository: Path,
    graph: bytes,
    *,
    name: str,
    labels: Sequence[str],
    input: InputSpec,
    trust: Fitted | None = None,
) -> Card:
    """Write an ONNX graph as the next version of the model `name`, and return its card.

    The graph takes normalised images (N, C, H, W) and returns logits. Raises `CheckpointError` for
    an invalid name or label, and for a graph that `load` would refuse.
    """
    check_name(name)
    check_labels(labels)
    network = network_of_graph(graph, input, len(labels), None)
    layers = trial(network, input, len(labels)).layers
    return _published(
        _model_folder(repository, name),
        name,
        GRAPH,
        lambda file: file.write(graph),
        architecture=graphs.ARCHITECTURE,
        labels=tuple(labels),
        input=input,
        parameters=network.count,
        feature_layers=tuple(layer.name for layer in layers),
        trust=trust,
    )


def publish_trust(repository: Path, version: Path | Place, card: Card, trust: Fitted) -> Card:
    """Publish a copy of a version as the model's next version, with `trust` in place of its own.

    `trust` holds calibration and familiarity. `card` is that of the version. `repository` is where
    the copy goes; the version may lie in another one. The weights are copied byte for byte. Raises
    `CheckpointError` if they don't have the SHA-256 that the card states.
    """
    name = GRAPH if card.architecture == graphs.ARCHITECTURE else WEIGHTS
    fields = {key: getattr(card, key) for key in Card.model_fields if key not in _NOT_KEPT}
    with opened(version, name) as weights:

        def copy(file: BinaryIO) -> None:
            shutil.copyfileobj(weights, file)

        return _published(
            _model_folder(repository, card.name),
            card.name,
            name,
            copy,
            sha256=card.weights_sha256,
            trust=trust,
            **fields,
        )


_NOT_KEPT = {
    *("name", "version", "weights_sha256"),
    *("calibration", "familiarity", "trust_sha256", "trust_note"),
}


def _published(
    model: Path,
    name: str,
    file_name: str,
    write: Callable[[BinaryIO], object],
    *,
    trust: Fitted | None,
    sha256: str | None = None,
    **fields: Any,
) -> Card:
    """Add a version of the model `name` to the folder `model`, and return its card.

    The version holds the file `file_name`, which `write` writes, the trust file, and a card with
    these fields. Its number is one more than the highest in the folder. `sha256` is what the file
    must have; None accepts any.
    """
    is_first = not model.parent.exists()
    draft = files.draft_in(model.resolve())
    try:
        with files.final_place(draft, model / str(max(versions(model), default=0) + 1)):
            draft.mkdir(parents=True)  # at once: another that fails takes an empty folder away
            with files.writing(draft / file_name) as file:
                write(file)
            written = _sha256(draft / file_name)
            if sha256 not in (None, written):
                raise CheckpointError(f"{file_name} does not have the SHA-256 that {CARD} states")
            fields |= _write_trust(draft, trust)
            card = Card(name=name, version=1, weights_sha256=written, **fields)
            return _release(draft, card)
    except ValidationError as error:
        raise CheckpointError(f"the card: {faults.in_file(error)}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        with suppress(OSError):  # a model without versions, after an error
            model.rmdir()
            if is_first:
                model.parent.rmdir()


def _write_trust(draft: Path, fitted: Fitted | None) -> dict[str, Any]:
    """Write the trust file, if there is a trust, and return the fields of the card about it."""
    if fitted is None:
        return {}
    fields: dict[str, Any] = {"trust_note": "; ".join(fitted.notes)} if fitted.notes else {}
    if fitted.expects is not None:
        fields["expects"] = fitted.expects
    if (trust := fitted.trust) is None:
        return fields
    files.write(draft / trust_file.TRUST, trust_file.to_bytes(trust))
    sha256 = _sha256(draft / trust_file.TRUST)
    return fields | {
        "calibration": trust.calibration,
        "familiarity": trust.familiarity,
        "trust_sha256": sha256,
    }


def _release(draft: Path, card: Card) -> Card:
    """Write the card and rename the draft to the next free version.

    If another process takes the number first, the next one is tried.
    """
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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
