"""The input of a foreign graph: (N, C, H, W), (N, H, W, C), (N, H, W) or flat.

graph and options of the user → `Taken` → nodes that convert (N, C, H, W) to that input
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from models.graphs import shapes
from models.graphs.editing import Editor, Layout
from models.graphs.errors import GraphError, needed
from models.graphs.shapes import image_input

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

CHANNELS = (1, 3)
_LOOKED_THROUGH = ("Add", "BatchNormalization", "Cast", "Div", "Identity", "Mul", "Pad", "Sub")
_HIGHEST = (255, 127.5)  # what a graph divides by, which takes pixels as they are
_TOLERANCE = 1e-3  # of a factor that scales pixels
Dims = tuple[int | None, ...]


@dataclass(frozen=True)
class Taken:
    """The form in which a graph takes images (C, H, W): its layout, number of dimensions and type.

    `batch` is the size of its batch, None if that is open. `scaled` is True if the graph takes
    pixels from 0 to 255, since it normalises them itself.
    """

    shape: tuple[int, int, int]
    layout: Layout
    rank: int
    batch: int | None
    type: int
    scaled: bool

    @property
    def sides(self) -> tuple[int, ...]:
        """The shape of an image as the graph takes it, without the batch."""
        channels, height, width = self.shape
        if self.rank == 2:
            return (channels * height * width,)
        if self.rank == 3:
            return height, width
        return (channels, height, width) if self.layout == "nchw" else (height, width, channels)


def look(
    model: "ModelProto",
    *,
    layout: Literal["nchw", "nhwc"] | None = None,
    height: int | None = None,
    width: int | None = None,
    normalised: bool = False,
) -> Taken:
    """Find out how the graph takes its images.

    `normalised` is True if the user gives mean and standard deviation. Raises `GraphError` if the
    graph doesn't tell, with the option that the user can give.
    """
    onnx = needed("onnx")
    name = image_input(model)
    tensor = next(each for each in model.graph.input if each.name == name).type.tensor_type
    kinds = onnx.TensorProto
    if tensor.elem_type not in (kinds.FLOAT, kinds.FLOAT16, kinds.DOUBLE, kinds.UINT8):
        types = {value: name.lower() for name, value in kinds.DataType.items()}
        kind = types.get(tensor.elem_type, f"of the unknown type {tensor.elem_type}")
        kind = kind if tensor.elem_type else "no tensor"
        raise GraphError(
            f"its input {name!r} is {kind}; images go in as float32, float16, float64 or uint8"
        )
    dims: Dims = tuple(
        side.dim_value if side.HasField("dim_value") and side.dim_value > 0 else None
        for side in tensor.shape.dim
    )
    known = _four(model, name, dims, layout) if len(dims) == 4 else None
    if known is not None:
        found, channels, sides = known
        shape = (channels, _side("height", sides[0], height), _side("width", sides[1], width))
    elif len(dims) == 3:
        found = "nchw"
        if dims[0] is not None and dims[0] != 1:
            raise GraphError(
                f"its input has the shape {_text(dims)}, without a batch; export it for batches, "
                "as (N, C, H, W)"
            )
        shape = (1, _side("height", dims[1], height), _side("width", dims[2], width))
    elif len(dims) == 2:
        shape = _unflattened(dims[1], height, width)
        if shape[0] != 1 and layout is None:
            raise GraphError(
                f"its input is flat, of {dims[1]:,} values for {shape[0]} channels: say with "
                "--layout nchw that the channels go one after the other, or with --layout nhwc "
                "that each pixel has its channels side by side"
            )
        found = layout or "nchw"
    else:
        raise GraphError(
            f"its input has the shape {_text(dims)}; images go in as (N, C, H, W), (N, H, W, C), "
            "(N, H, W) or flat (N, C·H·W)"
        )
    if tensor.elem_type == kinds.UINT8 and normalised:
        raise GraphError(
            "its input is uint8, so that it normalises pixels itself: leave --mean and --std out"
        )
    scaled = tensor.elem_type == kinds.UINT8 or (not normalised and _scales_itself(model, name))
    return Taken(shape, found, len(dims), dims[0], tensor.elem_type, scaled)


def adapt(model: "ModelProto", taken: Taken, batch: int | str) -> None:
    """Make the graph take float32 (batch, C, H, W), in [0, 1] if it took pixels from 0 to 255."""
    onnx = needed("onnx")
    kinds = onnx.TensorProto
    old = image_input(model)
    value = next(each for each in model.graph.input if each.name == old)
    plain = taken.layout == "nchw" and taken.rank == 4 and taken.type == kinds.FLOAT
    if plain and not taken.scaled:
        value.CopyFrom(onnx.helper.make_tensor_value_info(old, kinds.FLOAT, (batch, *taken.shape)))
        return
    editor = Editor(model)
    image = at = editor.name("image")
    if taken.scaled:
        at = editor.add("Mul", [at, editor.constant(np.array(255, np.float32))])
    if taken.layout == "nhwc":
        at = editor.add("Transpose", [at], perm=[0, 2, 3, 1])
    if taken.rank < 4:
        at = editor.add("Reshape", [at, editor.constant(np.array((0, *taken.sides), np.int64))])
    if taken.type == kinds.UINT8:  # to the nearest
        at = editor.add("Add", [at, editor.constant(np.array(0.5, np.float32))])
    if taken.type != kinds.FLOAT:
        at = editor.add("Cast", [at], to=taken.type)
    editor.put_before(image, kinds.FLOAT, (batch, *taken.shape), at)


def _four(
    model: "ModelProto", name: str, dims: Dims, layout: Layout | None
) -> tuple[Layout, int, Dims]:
    """Return layout, channels and (H, W) of an input with four dimensions."""
    orders = {"nchw": (dims[1], dims[2], dims[3]), "nhwc": (dims[3], dims[1], dims[2])}
    possible = [each for each, sides in orders.items() if sides[0] in (*CHANNELS, None)]
    if not possible:
        raise GraphError(f"its input has the shape {_text(dims)}; images have 1 or 3 channels")
    certain = [each for each in possible if orders[each][0] is not None]
    hint = _layout_of_first_layer(model, name)
    if layout is not None:
        if layout not in possible:
            raise GraphError(
                f"--layout {layout} does not fit the input {_text(dims)}: images have 1 or 3 "
                "channels"
            )
        found: Layout = layout
    elif len(possible) == 1 or len(certain) == 1:
        found = (certain if len(certain) == 1 else possible)[0]
    elif hint in possible:
        found = hint
    else:
        raise GraphError(
            f"its input has the shape {_text(dims)}, which may be (N, C, H, W) or (N, H, W, C); "
            "say which with --layout nchw or --layout nhwc"
        )
    channels, height, width = orders[found]
    channels = channels if channels is not None else _channels_of_first_convolution(model)
    if channels is None or channels not in CHANNELS:
        raise GraphError(
            f"its input has the shape {_text(dims)}, which leaves the channels open; export it "
            "with a fixed number, 1 or 3"
        )
    return found, channels, (height, width)


def _side(what: str, own: int | None, given: int | None) -> int:
    if own is None and given is None:
        raise GraphError(f"its input has no fixed {what}; give one with --{what}")
    if own is not None and given not in (None, own):
        raise GraphError(f"its input has the {what} {own}, not {given}; leave --{what} out")
    side = own if own is not None else given
    assert side is not None  # noqa: S101
    if not 1 <= side <= 4096:
        raise GraphError(f"its input has the {what} {side:,}; possible are 1 to 4096")
    return side


def _unflattened(values: int | None, height: int | None, width: int | None) -> tuple[int, int, int]:
    if values is None:
        raise GraphError("its input has no fixed shape at all; export it with one, as (N, C, H, W)")
    if height is not None and width is not None:
        if values in (height * width, 3 * height * width):
            return values // (height * width), height, width
        raise GraphError(
            f"its input has {values:,} values, which are not 1 or 3 channels of {height} × {width} "
            "pixels; give the right --height and --width"
        )
    for channels in CHANNELS:
        side = math.isqrt(values // channels)
        if channels * side**2 == values and height in (None, side) and width in (None, side):
            return channels, side, side
    raise GraphError(
        f"its input is flat, of {values:,} values, which are no square image; give --height and "
        "--width"
    )


def _first_layers(model: "ModelProto", name: str) -> "list[NodeProto]":
    """Return the first nodes that use the input, behind any nodes that only change its values."""
    reached, found = {name}, []
    for node in model.graph.node:
        if not reached.intersection(node.input):
            continue
        if node.op_type in _LOOKED_THROUGH:
            reached.update(node.output)
        else:
            found.append(node)
    return found


def _layout_of_first_layer(model: "ModelProto", name: str) -> Layout | None:
    for node in _first_layers(model, name):
        if node.op_type == "Conv":
            return "nchw"
        if node.op_type == "Transpose":
            perm = next((list(each.ints) for each in node.attribute if each.name == "perm"), [])
            return {(0, 3, 1, 2): "nhwc", (0, 2, 3, 1): "nchw"}.get(tuple(perm))
    return None


def _channels_of_first_convolution(model: "ModelProto") -> int | None:
    weights = {each.name: each for each in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Conv" and node.input[1] in weights:
            return int(weights[node.input[1]].dims[1])
    return None


def _scales_itself(model: "ModelProto", name: str) -> bool:
    """Return whether the graph begins by scaling pixels of 0 to 255 to small numbers."""
    weights = shapes.constants(model)
    reached = {name}
    for node in model.graph.node:
        if not reached.intersection(node.input):
            continue
        if node.op_type in ("Cast", "Identity", "Transpose"):
            reached.update(node.output)
            continue
        given = [weights[each] for each in node.input if each in weights]
        if node.op_type not in ("Div", "Mul", "Sub", "Add") or len(given) != 1:
            return False
        values = _values(given[0])
        if node.op_type == "Sub":
            return bool(values.size and values.max() > 1.5)  # a mean of pixels
        if node.op_type == "Add":
            return bool(values.size and values.min() < -1.5)
        factor = values if node.op_type == "Div" else 1 / np.where(values == 0, np.inf, values)
        return any(bool(np.all(np.abs(factor / each - 1) < _TOLERANCE)) for each in _HIGHEST)
    return False


def _values(tensor: "TensorProto") -> NDArray[np.float64]:
    return np.asarray(needed("onnx").numpy_helper.to_array(tensor)).astype(np.float64)


def _text(dims: Sequence[int | None]) -> str:
    return "(" + ", ".join("?" if side is None else str(side) for side in dims) + ")"
