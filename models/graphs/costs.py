"""The cost of a forward pass of a graph, computed from its shapes, and limits on it."""

import math
from typing import TYPE_CHECKING

from models.graphs.errors import GraphError
from models.graphs.shapes import Shapes, batch_size, infer, scales

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

MAX_TENSOR_VALUES = 2**26  # of one tensor, for one image: 256 MiB as float32
MAX_VALUES = 2**28  # of all tensors of a forward pass, for one image
MAX_OPERATIONS = 2 * 10**11  # multiply-adds and the like for one image: seconds on a CPU
MAX_UNFOLDED = 2**28  # values: the patches of a convolution, side by side
_IN_ORDER = ("GRU", "LSTM", "RNN")


def bounded(model: "ModelProto") -> tuple[int | None, Shapes]:
    """Return the batch size that the graph is fixed to, or None, and the shapes of its tensors.

    The shapes are those of a batch of that size, or of one image. Raises `GraphError` if the batch
    or a forward pass of one image would be too large, or a larger batch might be.
    """
    size = batch_size(model)
    found = infer(model, size or 1)
    check(model, found)
    if size is None and not scales(model, found):
        raise GraphError(
            "a larger batch may take far more memory than one image; export it with a fixed batch"
        )
    return size, found


def check(model: "ModelProto", shapes: Shapes) -> None:
    """Raise `GraphError` if a forward pass of one image would take too much memory or time.

    `shapes` are those for a batch of one, or of the graph's own size.
    """
    total, operations = 0, 0
    for node in model.graph.node:
        for name in filter(None, node.output):
            if name not in shapes.of:
                raise GraphError(
                    f"the shape of {name!r}, which {node.op_type} gives, can't be told before it "
                    "runs; export the network with an input of fixed size, or simplify it with "
                    "onnxsim"
                )
            values = shapes.values(name)
            total += values
            if values > MAX_TENSOR_VALUES or min(shapes.of[name], default=1) < 0:
                raise GraphError(
                    f"{node.op_type} would give {name!r} {values:,} values for an image; at most "
                    f"{MAX_TENSOR_VALUES:,} are computed"
                )
        operations += _operations(node, shapes)
        if total > MAX_VALUES:
            raise GraphError(
                f"its tensors have more than {MAX_VALUES:,} values for an image; take a smaller "
                "input or network"
            )
        if operations > MAX_OPERATIONS:
            raise GraphError(
                f"it needs more than {MAX_OPERATIONS:,} multiply-adds for an image; take a smaller "
                "input or network"
            )
        if _unfolded(node, shapes) > MAX_UNFOLDED:
            raise GraphError(
                f"the convolution {node.output[0]!r} looks at more than {MAX_UNFOLDED:,} values; "
                "take a smaller kernel or input"
            )


def multiply_adds(node: "NodeProto", shapes: Shapes) -> int:
    """Count the multiply-adds of a convolution, a matrix product or a recurrent layer.

    Returns 0 for other nodes, and where shapes are not known.
    """
    known = [shapes.of.get(name, ()) for name in node.input]
    given = shapes.values(node.output[0]) if node.output else 0
    if node.op_type in ("Conv", "ConvInteger") and len(known) > 1 and known[1]:
        return given * math.prod(known[1][1:])
    if node.op_type == "QLinearConv" and len(known) > 3 and known[3]:
        return given * math.prod(known[3][1:])
    if node.op_type == "ConvTranspose" and len(known) > 1 and known[1]:
        return math.prod(known[0]) * math.prod(known[1][1:])
    if node.op_type in ("MatMul", "MatMulInteger", "QLinearMatMul") and known and known[0]:
        return given * known[0][-1]
    if node.op_type == "Gemm" and known and len(known[0]) == 2:
        turned = any(each.name == "transA" and each.i for each in node.attribute)
        return given * known[0][0 if turned else 1]
    if node.op_type in _IN_ORDER and len(known) > 2 and known[0]:
        return math.prod(known[0][:2]) * (math.prod(known[1]) + math.prod(known[2]))
    return 0


def _operations(node: "NodeProto", shapes: Shapes) -> int:
    """Estimate the number of operations of a node."""
    values = max((shapes.values(name) for name in node.output), default=0)
    if "Pool" in node.op_type and not node.op_type.startswith("Global"):
        kernel = next((each.ints for each in node.attribute if each.name == "kernel_shape"), ())
        return int(values * math.prod(abs(side) for side in kernel))
    if node.op_type == "LRN":
        return values * max((each.i for each in node.attribute if each.name == "size"), default=1)
    if node.op_type == "Einsum":
        equation = next((each.s for each in node.attribute if each.name == "equation"), b"")
        return _einsum(equation.decode("ascii", "replace"), node, shapes)
    return multiply_adds(node, shapes) or values


def _einsum(equation: str, node: "NodeProto", shapes: Shapes) -> int:
    """Count the multiply-adds of an Einsum: the product of all sides that it names.

    With an ellipsis, an upper bound: the product of the sizes of all its inputs.
    """
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    if "." in equation or len(terms) != len(node.input):
        return math.prod(shapes.values(name) for name in node.input)
    sides = {
        letter: side
        for term, name in zip(terms, node.input, strict=True)
        for letter, side in zip(term, shapes.of.get(name, ()), strict=False)
    }
    return math.prod(sides.values())


def _unfolded(node: "NodeProto", shapes: Shapes) -> int:
    """Count the values of a convolution's patches, laid side by side."""
    if node.op_type not in ("Conv", "ConvInteger", "QLinearConv"):
        return 0
    channels = shapes.of.get(node.output[0], (1, 1))[1]
    return multiply_adds(node, shapes) // max(1, channels)
