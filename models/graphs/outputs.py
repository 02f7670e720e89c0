"""The output of a foreign graph: logits, probabilities, or one value for two classes.

select: choose the output; the rest of the graph is removed
adapt:  add nodes that turn it into logits (N, num_classes)
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from models.graphs import editing, operators
from models.graphs.editing import Editor
from models.graphs.errors import GraphError, needed
from models.graphs.shapes import Shapes
from models.registry import proposal

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

Gives = Literal["logits", "probabilities"]
MIN_PROBABILITY = 1e-37  # a probability, so that its logarithm is finite
_SUM_TOLERANCE = 1e-3  # that probabilities may differ from one in sum
_PASSIVE = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze")


@dataclass(frozen=True)
class Form:
    """The tensor that is turned into logits, and the kind of its values.

    `one` is True for a single value that stands for two classes.
    """

    tensor: str
    kind: Gives
    one: bool
    note: str | None


def select(model: "ModelProto", name: str | None, count: int | None) -> tuple[str, list[str]]:
    """Choose the output with a number for each class; return its tensor, and notes.

    All else is removed from the graph. `name` is the output that the user has named, and `count`
    the number of labels, if known. Raises `GraphError` if none or several outputs fit.
    """
    outputs = {each.name: each for each in model.graph.output}
    makers = producers(model)
    notes = []
    if name is not None and name not in outputs:
        raise GraphError(
            f"it has no output {name!r}; {proposal(name, outputs)}there are: {', '.join(outputs)}"
        )
    chosen = (
        [name] if name is not None else [each for each in outputs if _is_of_numbers(model, each)]
    )
    if name is None and len(chosen) > 1 and count is not None:
        fitting = [each for each in chosen if _last_side(outputs[each]) == count]
        chosen = fitting if len(fitting) == 1 else chosen
    if len(chosen) != 1:
        there = ", ".join(map(repr, outputs))
        raise GraphError(
            f"it has the outputs {there}; choose the one with a number for each class by --output"
            if chosen
            else f"its outputs ({there}) are no numbers; a classifier gives one for each class"
        )
    tensor = chosen[0]
    if left := [each for each in outputs if each != tensor]:
        notes.append(f"took the output {tensor!r}, and left out {', '.join(map(repr, left))}")
    maker = makers.get(tensor)
    if maker is not None and maker.op_type == "ZipMap" and maker.input:
        tensor = maker.input[0]
        notes.append("left out ZipMap, which names the classes: --labels does so")
    editing.keep_only(model, [tensor])
    onnx = needed("onnx")
    kept = outputs.get(tensor)
    value = onnx.ValueInfoProto()
    if kept is not None:
        value.CopyFrom(kept)
    else:
        value.CopyFrom(
            onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, [None] * 2)
        )
    del model.graph.output[:]
    model.graph.output.append(value)
    return tensor, notes


def form(
    model: "ModelProto", answers: NDArray[np.float32], count: int | None, gives: Gives | None
) -> Form:
    """Decide how the output becomes logits; `answers` (N, …) are the graph's answers to images.

    The activation at the end decides; without one, `gives` (the user's choice) or the `answers`.
    Raises `GraphError` for answers that are not one number for each of `count` labels.
    """
    output = model.graph.output[0].name
    answers = answers.reshape(len(answers), -1)
    width = answers.shape[1]
    one = width == 1
    if one and count not in (None, 2):
        raise GraphError(
            f"it answers with one number for an image, which can tell two classes apart, and you "
            f"gave {count} labels: --labels needs 2 names, that of the higher number second"
        )
    if not one and count is not None and width != count:
        raise GraphError(
            f"it answers with {width:,} numbers for an image, and you gave {count:,} labels: "
            f"--labels needs {width:,} names"
        )
    if not np.isfinite(answers).all():
        raise GraphError("it answers with what is not a finite number; export it again")
    maker = _last(model, output)
    kind = maker.op_type if maker is not None else None
    if gives is None and maker is not None and kind == "Softmax" and not one:
        return Form(maker.input[0], "logits", one, "took the logits before its softmax")
    if gives is None and maker is not None and kind == "Sigmoid":
        note = "took the logit before its sigmoid; a high one stands for the second label"
        if not one:
            note = (
                "it has a sigmoid for each class, so that its classes may hold together; "
                "Fanlight's exclude each other: took the logits before it"
            )
        return Form(maker.input[0], "logits", one, note)
    if gives is None and one and answers.min() >= 0 and answers.max() <= 1:
        raise GraphError(
            "it answers with one number from 0 to 1, which may be a probability or not; say so "
            "with --gives probabilities or --gives logits"
        )
    sums = answers.sum(1)
    is_shares = answers.min() >= 0 and np.abs(sums - 1).max() < _SUM_TOLERANCE and not one
    if gives == "probabilities" and (answers.min() < 0 or answers.max() > 1 + _SUM_TOLERANCE):
        raise GraphError("--gives probabilities: it answers with numbers below 0 or above 1")
    if gives == "probabilities" or (gives is None and is_shares):
        return Form(
            output, "probabilities", one, "it answers with probabilities: took their logarithms"
        )
    return Form(output, "logits", one, "its output is taken as logits")


def adapt(model: "ModelProto", found: Form, count: int, batch: int | str, own: Shapes) -> None:
    """Make the graph return float32 logits (batch, count).

    `own` are the shapes and types of its tensors for one batch.
    """
    onnx = needed("onnx")
    editing.keep_only(model, [found.tensor])
    editor, at = Editor(model), found.tensor
    if own.types.get(at) != onnx.TensorProto.FLOAT:
        at = editor.add("Cast", [at], to=onnx.TensorProto.FLOAT)
    width = 1 if found.one else count
    if own.of.get(found.tensor, ())[1:] != (width,):
        at = editor.add("Reshape", [at, editor.constant(np.array((-1, width), np.int64))])
    if found.one and found.kind == "logits":  # softmax of -z/2 and z/2 is sigmoid of z
        half = editor.add("Mul", [at, editor.constant(np.array(0.5, np.float32))])
        at = editor.add("Concat", [editor.add("Neg", [half]), half], axis=1)
    elif found.one:
        other = editor.add("Sub", [editor.constant(np.array(1, np.float32)), at])
        at = editor.add("Concat", [other, at], axis=1)
    if found.kind == "probabilities":
        at = editor.add("Max", [at, editor.constant(np.array(MIN_PROBABILITY, np.float32))])
        at = editor.add("Log", [at])
    if editor.nodes:
        at = editor.nodes[-1].output[0] = editor.name("logits")
    editor.put_behind(at, (batch, count))


def class_labels(model: "ModelProto") -> tuple[str, ...] | None:
    """Return the class names that a graph of scikit-learn holds; None if it has none."""
    for node in model.graph.node:
        for each in node.attribute:
            if each.name in operators.CLASS_NAMES:
                names = tuple(name.decode("utf-8", "replace") for name in each.strings)
                if found := names or tuple(map(str, each.ints)):
                    return found
    return None


def producers(model: "ModelProto") -> "dict[str, NodeProto]":
    """Map each tensor to the node whose output it is."""
    return {name: node for node in model.graph.node for name in node.output if name}


def _last(model: "ModelProto", tensor: str) -> "NodeProto | None":
    """Return the node that computed the tensor, before any that only change shape or type."""
    makers = producers(model)
    node = makers.get(tensor)
    while node is not None and node.op_type in _PASSIVE:
        node = makers.get(node.input[0])
    return node


def _is_of_numbers(model: "ModelProto", name: str) -> bool:
    """Return whether an output may have a number for each class: floats, or those of a ZipMap."""
    onnx = needed("onnx")
    maker = producers(model).get(name)
    if maker is not None and maker.op_type == "ZipMap":
        return True
    value = next(each for each in model.graph.output if each.name == name)
    kinds = onnx.TensorProto
    return value.type.tensor_type.elem_type in (kinds.FLOAT, kinds.FLOAT16, kinds.DOUBLE)


def _last_side(value: object) -> int | None:
    dims = value.type.tensor_type.shape.dim  # type: ignore[attr-defined]
    return dims[-1].dim_value if dims else None
