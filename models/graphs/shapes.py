"""The shape of every tensor of a graph, inferred without running it.

Shapes come from onnx's own rules for each operator, for a batch of a given size. The shapes that
the file itself states for inner tensors are ignored: they may be wrong.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.graphs import operators
from models.graphs.errors import GraphError, needed, reason

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto, TypeProto

Shape = tuple[int, ...]
MAX_BATCH = 256  # images that a graph of a fixed batch takes at a time
_SMALL = 1024  # values of a tensor that may be a shape
_COMPUTED = frozenset(
    [
        "Abs",
        "Add",
        "And",
        "Cast",
        "Ceil",
        "Concat",
        "ConstantOfShape",
        "Div",
        "Equal",
        "Expand",
        "Flatten",
        "Floor",
        "Gather",
        "Greater",
        "GreaterOrEqual",
        "Identity",
        "Less",
        "LessOrEqual",
        "Max",
        "Min",
        "Mod",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "Range",
        "ReduceMax",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "Reshape",
        "Round",
        "Slice",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Tile",
        "Transpose",
        "Unsqueeze",
        "Where",
    ]
)


@dataclass(frozen=True)
class Shapes:
    """Shapes and element types by tensor, for one batch size; the weights are among them."""

    of: Mapping[str, Shape]
    types: Mapping[str, int]
    weights: Mapping[str, "TensorProto"]

    def values(self, name: str) -> int:
        return math.prod(self.of.get(name, ()))


def image_input(model: "ModelProto") -> str:
    """Return the name of the one input that is no weight; raise `GraphError` unless there is just
    one."""
    weights = {each.name for each in model.graph.initializer}
    names = [each.name for each in model.graph.input if each.name not in weights]
    if len(names) != 1:
        raise GraphError(
            f"it has {len(names)} inputs ({', '.join(map(repr, names[:6])) or 'none'}); a "
            "classifier of images takes one: export it without the others"
        )
    return str(names[0])


def batch_size(model: "ModelProto") -> int | None:
    """Return the graph's fixed batch size, None for any; raise `GraphError` if too large."""
    name = image_input(model)
    value = next(each for each in model.graph.input if each.name == name)
    dims = value.type.tensor_type.shape.dim
    if not dims or not dims[0].HasField("dim_value"):
        return None
    size = int(dims[0].dim_value)
    if not 1 <= size <= MAX_BATCH:
        raise GraphError(f"its batch has {size:,} images; at most {MAX_BATCH} are run at once")
    return size


def constants(model: "ModelProto") -> dict[str, "TensorProto"]:
    """Return the weights and constants that a graph holds, by name."""
    found = {each.name: each for each in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            found[node.output[0]] = node.attribute[0].t
    return found


def infer(model: "ModelProto", batch: int) -> Shapes:
    """Infer the shapes for a batch of that size; raise `GraphError` for shapes that don't fit.

    Nodes are visited in order. Small tensors that follow from shapes, such as the target shape of a
    reshape, are computed on the way.
    """
    onnx = needed("onnx")
    name = image_input(model)
    value = onnx.TypeProto()
    value.CopyFrom(next(each.type for each in model.graph.input if each.name == name))
    if value.tensor_type.shape.dim:
        value.tensor_type.shape.dim[0].dim_value = batch
    weights = constants(model)
    known = {each: tensor for each, tensor in weights.items() if math.prod(tensor.dims) <= _SMALL}
    kinds = {name: value}
    for each, tensor in weights.items():
        kinds[each] = onnx.helper.make_tensor_type_proto(tensor.data_type, tuple(tensor.dims))
    for node in model.graph.node:
        if node.output and node.output[0] not in weights:
            _infer_node(model, node, kinds, known)
    found: dict[str, Shape] = {}
    for each, kind in kinds.items():
        dims = kind.tensor_type.shape.dim
        whole = all(side.HasField("dim_value") for side in dims)
        if kind.tensor_type.HasField("shape") and whole:
            found[each] = tuple(side.dim_value for side in dims)
    types = {each: kind.tensor_type.elem_type for each, kind in kinds.items()}
    return Shapes(found, types, weights)


def _infer_node(
    model: "ModelProto",
    node: "NodeProto",
    kinds: "dict[str, TypeProto]",
    known: "dict[str, TensorProto]",
) -> None:
    """Add the types of a node's outputs to `kinds`. Add the values of its output to `known` if they
    are few and follow from known ones."""
    onnx = needed("onnx")
    given = [each for each in node.input if each]
    if not all(each in kinds for each in given):
        return  # what gives it has no shape that can be told
    of_domain = operators.domain(node.domain)
    version = next(
        each.version for each in model.opset_import if operators.domain(each.domain) == of_domain
    )
    try:
        found = onnx.shape_inference.infer_node_outputs(
            onnx.defs.get_schema(node.op_type, version, of_domain),
            node,
            {each: kinds[each] for each in given},
            {each: known[each] for each in given if each in known},
            opset_imports=list(model.opset_import),
            ir_version=model.ir_version,
        )
    except Exception as error:  # of C++, of several kinds
        raise GraphError(
            f"the shapes around {node.output[0]!r} ({node.op_type}) don't fit: {reason(error)}"
        ) from error
    if of_domain:
        found = _learned(node, kinds)
    kinds.update({each: kind for each, kind in found.items() if kind.HasField("tensor_type")})
    dims = kinds[given[0]].tensor_type.shape.dim if given else ()
    if node.op_type in ("Shape", "Size"):
        if not all(side.HasField("dim_value") for side in dims):
            return
        sides = np.array([side.dim_value for side in dims], np.int64)
        flags = {each.name: each.i for each in node.attribute}
        sides = sides[flags.get("start", 0) : flags.get("end")]
        result = np.prod(sides) if node.op_type == "Size" else sides
    elif all(each in known for each in given) and _is_small(node, kinds):
        try:
            runner = needed("onnx.reference").ReferenceEvaluator(node)
            values = {each: onnx.numpy_helper.to_array(known[each]) for each in given}
            result = runner.run(None, values)[0]
        except Exception:  # a shape that depends on it stays unknown, and is refused
            return
    else:
        return
    known[node.output[0]] = onnx.numpy_helper.from_array(np.asarray(result), node.output[0])


def _learned(node: "NodeProto", kinds: "dict[str, TypeProto]") -> "dict[str, TypeProto]":
    """Return the output types of a classical-learning operator, for which onnx has no rules."""
    onnx = needed("onnx")
    first = kinds[node.input[0]].tensor_type
    if not first.HasField("shape") or not first.shape.dim:
        return {}
    images = [first.shape.dim[0].dim_value]
    attributes = {each.name: each for each in node.attribute}
    columns = [each.dim_value for each in first.shape.dim[1:]]
    names = [attributes[each] for each in operators.CLASS_NAMES if each in attributes]
    classes = max([len(each.ints) + len(each.strings) for each in names], default=0)
    made = onnx.helper.make_tensor_type_proto
    if node.op_type.endswith("Classifier"):
        types = [
            made(onnx.TensorProto.INT64, images),
            made(onnx.TensorProto.FLOAT, [*images, classes]),
        ]
    elif node.op_type.endswith("Regressor"):
        targets = attributes["n_targets"].i if "n_targets" in attributes else 1
        targets = attributes["targets"].i if "targets" in attributes else targets
        types = [made(onnx.TensorProto.FLOAT, [*images, targets])]
    elif node.op_type == "ArrayFeatureExtractor":
        chosen = kinds[node.input[1]].tensor_type.shape.dim
        picked = math.prod(each.dim_value for each in chosen)
        types = [made(first.elem_type, [*images, *columns[:-1], picked])]
    else:
        types = [made(onnx.TensorProto.FLOAT, [*images, *columns])]
    return dict(zip(node.output, types, strict=False))


def _is_small(node: "NodeProto", kinds: "dict[str, TypeProto]") -> bool:
    """Return whether a node is one that may be computed here: it has one output, of few values."""
    if len(node.output) != 1 or node.op_type not in _COMPUTED or node.output[0] not in kinds:
        return False
    kind = kinds[node.output[0]].tensor_type
    dims = kind.shape.dim
    whole = kind.HasField("shape") and all(side.HasField("dim_value") for side in dims)
    return whole and math.prod(side.dim_value for side in dims) <= _SMALL


def scales(model: "ModelProto", one: Shapes) -> bool:
    """Return whether a batch of any size takes no more memory per image than a batch of one.

    `one` are the shapes for one image. Inputs that set the size of a tensor must be constant, and
    two images must need at most twice as much as one.
    """
    constant = set(one.weights)
    constant.update(
        name for node in model.graph.node if not any(node.input) for name in node.output
    )
    for node in model.graph.node:
        told_by = operators.SIZED.get(node.op_type, ())
        given = [node.input[at] for at in told_by if at < len(node.input) and node.input[at]]
        if not constant.issuperset(given):
            return False
    try:
        two = infer(model, 2)
    except GraphError:
        return False
    return all(name in two.of and two.values(name) <= 2 * one.values(name) for name in one.of)
