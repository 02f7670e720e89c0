"""Edits of a graph: unneeded parts are removed, and nodes are added before and behind it."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.graphs.errors import needed
from models.graphs.shapes import image_input
from models.preprocessing import InputSpec

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, ValueInfoProto

BATCH = "n"  # the name of a batch's size, if it may be any
Layout = str  # nchw or nhwc


class Editor:
    """A collector of new nodes for a graph, whose names don't collide with those in the graph."""

    def __init__(self, model: "ModelProto") -> None:
        self._onnx = needed("onnx")
        self.model = model
        self.nodes: list[NodeProto] = []
        graph = model.graph
        self._taken = {each.name for each in (*graph.initializer, *graph.input, *graph.output)}
        for node in graph.node:
            self._taken.update(node.input)
            self._taken.update(node.output)

    def add(self, op_type: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node, and return the name of its output."""
        name = self.name(op_type.lower())
        self.nodes.append(
            self._onnx.helper.make_node(op_type, list(inputs), [name], name=name, **attributes)
        )
        return name

    def constant(self, value: NDArray[Any]) -> str:
        """Add a constant, and return its name."""
        name = self.name("constant")
        self.model.graph.initializer.append(self._onnx.numpy_helper.from_array(value, name))
        return name

    def name(self, wanted: str) -> str:
        """Return a new name for a tensor: `wanted`, with a number if that is taken."""
        number, name = 1, wanted
        while name in self._taken:
            number += 1
            name = f"{wanted}_{number}"
        self._taken.add(name)
        return name

    def put_before(self, input: str, type: int, shape: Sequence[int | str], given: str) -> None:
        """Insert the collected nodes, which turn the new `input` into the tensor `given`.

        `given` takes the place of the old input.
        """
        graph, old = self.model.graph, image_input(self.model)
        for node in graph.node:
            for at, name in enumerate(node.input):
                if name == old:
                    node.input[at] = given
        _replace(graph.node, [*self.nodes, *graph.node])
        weights = {each.name for each in graph.initializer}
        _replace(graph.input, [each for each in graph.input if each.name in weights])
        graph.input.append(self._onnx.helper.make_tensor_value_info(input, type, shape))
        self.nodes = []

    def put_behind(self, output: str, shape: Sequence[int | str]) -> None:
        """Append the collected nodes; `output`, float32, becomes the graph's only output."""
        graph = self.model.graph
        graph.node.extend(self.nodes)
        kind = self._onnx.TensorProto.FLOAT
        _replace(graph.output, [self._onnx.helper.make_tensor_value_info(output, kind, shape)])
        self.nodes = []


def keep_only(model: "ModelProto", outputs: Iterable[str]) -> None:
    """Remove nodes, weights and inputs that none of these tensors depends on, and all metadata."""
    graph = model.graph
    wanted, kept = set(outputs), []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(filter(None, node.input))
    _replace(graph.node, reversed(kept))
    _replace(graph.initializer, [each for each in graph.initializer if each.name in wanted])
    left = {each.name for each in graph.initializer}
    inputs = [each for each in graph.input if each.name in wanted and each.name not in left]
    _replace(graph.input, inputs or list(graph.input)[:1])
    for field in (graph.value_info, graph.quantization_annotation, model.metadata_props):
        del field[:]
    used = {node.domain or "" for node in kept} | {"", "ai.onnx"}
    _replace(model.opset_import, [each for each in model.opset_import if each.domain in used])


def whole(model: "ModelProto", spec: InputSpec, layout: Layout = "nchw") -> "ModelProto":
    """Return the graph with preprocessing and softmax inside: uint8 `pixels` → `probabilities`.

    The pixels are (N, C, H, W), or (N, H, W, C) for the layout nhwc, of the size of the input.
    """
    editor, _normalised = _prepared(model, spec, layout)
    graph = editor.model.graph
    batch: int | str = _batch(graph.input[-1])
    num_classes = graph.output[0].type.tensor_type.shape.dim[1].dim_value
    answer = editor.name("probabilities")
    logits = graph.output[0].name
    editor.nodes.append(needed("onnx").helper.make_node("Softmax", [logits], [answer], axis=1))
    editor.put_behind(answer, (batch, num_classes))
    return editor.model


def prepared(
    model: "ModelProto", spec: InputSpec, tensors: Sequence[str] = ()
) -> "tuple[ModelProto, list[str]]":
    """Return the graph with preprocessing inside, and the names of its outputs.

    It takes uint8 `pixels` (N, C, H, W). Its outputs are the logits, and the tensors in `tensors`
    as float32, flattened to (N, D).
    """
    onnx, old = needed("onnx"), image_input(model)
    editor, normalised = _prepared(model, spec)
    graph, names = editor.model.graph, []
    for each in tensors:
        at = editor.add("Flatten", [normalised if each == old else each], axis=1)
        names.append(editor.add("Cast", [at], to=onnx.TensorProto.FLOAT))
    graph.node.extend(editor.nodes)
    graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
    )
    return editor.model, [graph.output[0].name, *names]


def _prepared(model: "ModelProto", spec: InputSpec, layout: Layout = "nchw") -> tuple[Editor, str]:
    """Return an editor of a copy that takes uint8 pixels, and the name of the normalised tensor.

    That tensor takes the place of the graph's old input.
    """
    onnx = needed("onnx")
    result: ModelProto = onnx.ModelProto()
    result.CopyFrom(model)
    editor = Editor(result)
    channels, height, width = spec.shape
    old = image_input(result)
    batch = _batch(next(each for each in result.graph.input if each.name == old))
    pixels, at = editor.name("pixels"), ""
    at = editor.add("Cast", [pixels], to=onnx.TensorProto.FLOAT)
    if layout == "nhwc":
        at = editor.add("Transpose", [at], perm=[0, 3, 1, 2])
    at = editor.add("Div", [at, editor.constant(np.array(255, np.float32))])
    mean, std = (np.array(each, np.float32).reshape(1, -1, 1, 1) for each in (spec.mean, spec.std))
    at = editor.add("Sub", [at, editor.constant(mean)])
    at = editor.add("Div", [at, editor.constant(std)])
    sides = (channels, height, width) if layout == "nchw" else (height, width, channels)
    editor.put_before(pixels, onnx.TensorProto.UINT8, (batch, *sides), at)
    return editor, at


def _batch(images: "ValueInfoProto") -> int | str:
    """Return the batch size of the graph's input, or `BATCH` if it is open."""
    first = images.type.tensor_type.shape.dim[0]
    return first.dim_value if first.HasField("dim_value") else BATCH


def describe(model: "ModelProto", entries: dict[str, str]) -> None:
    """Set entries of the graph's metadata; entries of the same name are replaced."""
    kept = [each for each in model.metadata_props if each.key not in entries]
    _replace(model.metadata_props, kept)
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=value)


def _replace(field: Any, content: Iterable[Any]) -> None:
    """Replace the content of a repeated protobuf field."""
    kept = list(content)
    copies = [type(each)() for each in kept]
    for copy, each in zip(copies, kept, strict=True):
        copy.CopyFrom(each)
    del field[:]
    field.extend(copies)
