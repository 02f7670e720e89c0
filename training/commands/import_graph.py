"""`import net.onnx`: a graph of any framework → the next version of a model in the repository."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from rich.console import Console

from models import checkpoint, faults, repositories, repository_paths
from models.checkpoint import CheckpointError
from models.errors import OptionError
from models.graphs import exchange, interface, parsing
from models.graphs.errors import GraphError
from models.graphs.interface import Adapted, Wishes
from models.preprocessing import InputSpec
from models.trust import Fitted

if TYPE_CHECKING:
    from training.commands.import_weights import Import

_OF_WEIGHTS = ("architecture", "arguments", "key", "strip_prefix", "by_order", "new_head")


def is_graph(path: Path) -> bool:
    """Whether a file is an ONNX graph, by its name or its first bytes."""
    if path.suffix.lower() == ".onnx":
        return True
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(64)
    # ir_version, then the name of what wrote it, or the graph itself
    return len(head) > 2 and head[0] == 0x08 and head[1] < 0x20 and head[2] in (0x12, 0x3A)


def run(asked: "Import", console: Console) -> None:
    """Publish the graph; raises `FanlightError` if options are missing, or don't fit it."""
    from training.commands.import_weights import read_labels

    path = asked.weights
    if unfit := [name for name in _OF_WEIGHTS if getattr(asked, name)]:
        options = ", ".join("--" + name.replace("_", "-") for name in unfit)
        raise OptionError(
            f"{path} is an ONNX graph, which brings its network along: leave out {options}"
        )
    name = asked.name if asked.name is not None else path.stem
    labels = read_labels(asked.labels)
    try:
        model = parsing.read(path)
        own = exchange.read(model)
        labels = labels or own.labels
        wishes = _wishes(asked, len(labels) or None, own.input)
        adapted = interface.adapted(model, wishes)
        labels = labels or adapted.labels or ()
        if len(labels) != adapted.num_classes:
            raise GraphError(
                f"it tells {adapted.num_classes:,} classes apart: --labels needs "
                f"{adapted.num_classes:,} names, in the order of its answers"
            )
        spec = _input(asked, adapted, own.input)
        content = parsing.serialized(adapted.model)
    except GraphError as error:
        raise CheckpointError(f"{path}: {error}") from error
    checkpoint.check_name(name)
    checkpoint.check_target(asked.repository, name)
    checkpoint.check_labels(labels)
    if not asked.labels_changed:
        repositories.check_same_labels(asked.repository, name, labels)
    trust = Fitted(None, (checkpoint.IMPORTED,))
    card = checkpoint.publish_graph(
        asked.repository, content, name=name, labels=labels, input=spec, trust=trust
    )
    for note in adapted.notes:
        console.print(note, markup=False, highlight=False)
    if not asked.labels:
        origin = "its metadata" if own.labels else "the graph"
        shown = json.dumps(labels[:10], ensure_ascii=False)
        console.print(f"took the labels from {origin}: {shown}", markup=False, highlight=False)
    if not adapted.scaled:
        console.print(normalisation(spec), markup=False, highlight=False)
    console.print(
        f"published {card.name}/{card.version} in {asked.repository}; serve it with\n"
        f"  fanlight serve{repository_paths.options([asked.repository])}",
        markup=False,
        highlight=False,
    )


def _wishes(asked: "Import", count: int | None, own: InputSpec | None) -> Wishes:
    told = own is not None and not _is_neutral(own)
    return Wishes(
        count=count,
        layout=asked.layout,
        height=asked.height,
        width=asked.width,
        output=asked.graph_output,
        gives=asked.gives,
        normalised=told or asked.mean is not None or asked.std is not None,
    )


def _input(asked: "Import", adapted: Adapted, own: InputSpec | None) -> InputSpec:
    """Return the input spec: the user's options, else the graph's metadata, else neutral values."""
    channels, height, width = adapted.shape
    fields: dict[str, Any] = {}
    if own is not None and own.shape == adapted.shape:
        fields = own.model_dump()
    fields |= {"channels": channels, "height": height, "width": width}
    if asked.channels not in (None, channels):
        raise OptionError(f"channels: the graph takes images of {channels}, not {asked.channels}")
    for name in ("mean", "std", "resize", "resize_size", "interpolation"):
        if (value := getattr(asked, name)) is not None:
            is_for_all = name in ("mean", "std") and len(value) == 1
            fields[name] = value * channels if is_for_all else value
    try:
        return InputSpec.model_validate(fields)
    except ValidationError as error:
        raise OptionError(f"the input: {faults.first(error)}") from error


def _is_neutral(spec: InputSpec) -> bool:
    return set(spec.mean) == {0.0} and set(spec.std) == {1.0}


def normalisation(spec: InputSpec) -> str:
    """Describe for the user how pixels are normalised."""
    if _is_neutral(spec):
        return "pixels go in as 0 to 1; say with --mean and --std if it was trained otherwise"
    mean, std = (", ".join(f"{each:g}" for each in values) for values in (spec.mean, spec.std))
    return f"pixels go in as (pixel / 255 - mean) / std, of mean {mean} and std {std}"
