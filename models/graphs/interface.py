"""A foreign graph → one that takes (N, C, H, W) and returns logits, with notes on what was done.

What the service would otherwise have to guess at each start is decided once, by the user who
imports the graph.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from models.graphs import costs, editing, inputs, network, outputs, parsing, shapes, trial
from models.graphs.editing import BATCH
from models.graphs.errors import GraphError, needed, reason
from models.graphs.inputs import Taken
from models.graphs.outputs import Gives

if TYPE_CHECKING:
    from onnx import ModelProto

DIFFERENCE = 1e-3  # of logits, between images that are run together and one by one
_PROBE_IMAGES = 4  # in a batch, to see whether answers are one an image


@dataclass(frozen=True)
class Wishes:
    """The user's options for a graph; None leaves the choice to the graph.

    `count` is the number of labels; `normalised` is True if mean and deviation are given.
    """

    count: int | None = None
    layout: Literal["nchw", "nhwc"] | None = None
    height: int | None = None
    width: int | None = None
    output: str | None = None
    gives: Gives | None = None
    normalised: bool = False


@dataclass(frozen=True)
class Adapted:
    """A converted graph, the shape (C, H, W) of its images, the number of its classes, their names
    if it has any, and sentences on what was done. `scaled` is True if it normalises pixels
    itself."""

    model: "ModelProto"
    shape: tuple[int, int, int]
    num_classes: int
    labels: tuple[str, ...] | None
    notes: tuple[str, ...]
    scaled: bool


def adapted(model: "ModelProto", wishes: Wishes) -> Adapted:
    """Convert `model` to the form in which Fanlight publishes graphs.

    Raises `GraphError` for a graph that can't be served, and where the user has to choose: its
    message names the option.
    """
    _, notes = outputs.select(model, wishes.output, wishes.count)
    parsing.check(model)
    labels = outputs.class_labels(model)
    taken = inputs.look(
        model,
        layout=wishes.layout,
        height=wishes.height,
        width=wishes.width,
        normalised=wishes.normalised,
    )
    notes.append(_about(taken))
    failed: GraphError | None = None
    for size in dict.fromkeys((None, taken.batch or 1)):
        try:
            result, count, done = _with_batch(model, taken, size, wishes)
        except GraphError as error:
            failed = error
            continue
        if size is not None:
            notes.append(
                f"it is run with {size} image{'s' * (size > 1)} at a time, since it does not take "
                "batches of any size"
            )
        return Adapted(result, taken.shape, count, labels, (*notes, *done), taken.scaled)
    assert failed is not None  # noqa: S101
    raise failed


def _with_batch(
    model: "ModelProto", taken: Taken, size: int | None, wishes: Wishes
) -> tuple["ModelProto", int, list[str]]:
    """Convert the graph for batches of `size`, None for any; return the number of its classes and
    notes, too. Raises `GraphError` if it can't be converted so."""
    onnx = needed("onnx")
    result: ModelProto = onnx.ModelProto()
    result.CopyFrom(model)
    del result.graph.value_info[:]
    batch: int | str = BATCH if size is None else size
    inputs.adapt(result, taken, batch)
    trial.check(parsing.serialized(result))
    _, own = costs.bounded(result)
    pictures = np.random.default_rng(0).random((_PROBE_IMAGES, *taken.shape), np.float32)
    pictures[0], pictures[1] = 0, 1
    single = answers(result, [pictures[i : i + 1] for i in range(_PROBE_IMAGES)], size)
    if size is None:
        together = answers(result, [pictures], None)
        if together.shape != single.shape or _differ(together, single):
            raise GraphError("it answers otherwise for images that are run together")
    found = outputs.form(result, single, wishes.count, wishes.gives)
    count = 2 if found.one else single.reshape(_PROBE_IMAGES, -1).shape[1]
    outputs.adapt(result, found, count, batch, own)
    editing.keep_only(result, [result.graph.output[0].name])
    parsing.check(result)
    return result, count, [found.note] if found.note else []


def answers(
    model: "ModelProto", batches: Sequence[NDArray[np.float32]], size: int | None
) -> NDArray[np.float32]:
    """Run a checked graph on batches; return one row per image, or raise `GraphError`.

    A batch of less than `size` images is padded with zeros.
    """
    name = shapes.image_input(model)
    running = network.opened(model, 1)
    rows = []
    for batch in batches:
        room = max(len(batch), size or 0)
        whole = np.concatenate([batch, np.zeros((room - len(batch), *batch.shape[1:]), np.float32)])
        try:
            [answer] = running.run(None, {name: whole})
        except Exception as error:  # whatever onnxruntime raises
            raise GraphError(f"ONNX Runtime can't run it: {reason(error)}") from error
        answer = np.asarray(answer, np.float32)
        if not answer.ndim or len(answer) != room:
            raise GraphError(
                f"it answers {room} image{'s' * (room > 1)} with the shape {answer.shape}, which "
                "is not one row for each"
            )
        rows.append(answer[: len(batch)])
    return np.concatenate(rows)


def _differ(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    scale = max(1.0, float(np.abs(other).max()))
    return not float(np.abs(one - other).max()) <= DIFFERENCE * scale


def _about(taken: Taken) -> str:
    channels, height, width = taken.shape
    how = {2: "flat", 3: "height × width"}.get(taken.rank)
    how = how or {"nchw": "channels first", "nhwc": "channels last"}[taken.layout]
    values = ", pixels from 0 to 255, which it scales itself" if taken.scaled else ""
    colour = "grey" if channels == 1 else "colour"
    return f"it takes {colour} images of {height} × {width} pixels, {how}{values}"
