"""A graph as a network: normalised images → ONNX Runtime → logits, with any tensor on the way.

Code that only calls a network or captures activations can use it like one of torch: evaluation,
feature maps, kernels, occlusion. It has no gradients.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.errors import FanlightError
from models.features import PENULTIMATE, Layer, OpaqueNetwork, embedding_layer
from models.graphs import costs, parsing, session, shapes, trial
from models.graphs.errors import GraphError, needed, reason
from models.graphs.shapes import Shapes
from models.preprocessing import InputSpec
from models.structure.axes import AxesReader

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

ARCHITECTURE = "onnx"
"""The name in the card of a graph, in place of an architecture of torch."""
DESCRIPTION = "A graph that was imported from another framework; ONNX Runtime runs it."
MAX_HELD_VALUES = 2**26  # of all tensors of one pass, four bytes each
_SHARED = (  # of a network and its copies
    "model", "threads", "taken", "given", "input", "output", "batch_size", "layers", "count",
    "_most", "_session",
)  # fmt: skip
_FLATTENING = ("Flatten", "Reshape", "Squeeze")
Floats = NDArray[np.float32]


class Tap(nn.Module):
    """A module for one layer of a graph: its hooks get the layer's input and output, and its
    parameters are the layer's weights."""

    def __init__(self, weight: Tensor | None, bias: Tensor | None) -> None:
        super().__init__()
        for name, value in (("weight", weight), ("bias", bias)):
            if value is not None:
                self.register_parameter(name, nn.Parameter(value, requires_grad=False))

    def forward(self, taken: Tensor, given: Tensor) -> Tensor:
        return given

    @property
    def is_watched(self) -> bool:
        return bool(self._forward_hooks or self._forward_pre_hooks)


class OnnxNetwork(OpaqueNetwork):
    """Normalised images (N, C, H, W) on any device → logits (N, num_classes) there.

    Each layer is a module of this network under its name. A hook on it makes the pass fetch the
    layer's tensor. A graph whose batch has a fixed size is run as often as needed.
    """

    def __init__(self, model: "ModelProto", own: Shapes, threads: int) -> None:
        super().__init__()
        self.model = model
        self.threads = threads
        self.taken: dict[str, str] = {}  # layer → the tensor that it takes
        self.given: dict[str, str] = {}  # layer → the tensor that it gives
        self.input = shapes.image_input(model)
        self.output = model.graph.output[0].name
        self.batch_size = shapes.batch_size(model)
        self.layers = self._found(own)
        self.count = sum(own.values(each) for each in own.weights if _is_float(own.types[each]))
        values = sum(math.prod(each.output_shape) for each in self.layers)
        self._most = self.batch_size or max(1, MAX_HELD_VALUES // max(1, values))
        self._session = opened(self._with_outputs(own), threads)

    def __deepcopy__(self, memo: dict[int, Any]) -> "OnnxNetwork":
        """Return a copy with hooks of its own; the session and the weights are shared."""
        other = OnnxNetwork.__new__(OnnxNetwork)
        nn.Module.__init__(other)
        for name in _SHARED:
            setattr(other, name, getattr(self, name))
        for name, tap in self._modules.items():
            weights = cast(Tap, tap)._parameters
            other._modules[name] = Tap(weights.get("weight"), weights.get("bias"))
        return other.train(self.training)

    def forward(self, batch: Tensor) -> Tensor:
        watched = [name for name, tap in self._modules.items() if cast(Tap, tap).is_watched]
        pairs = [(self.taken[name], self.given[name]) for name in watched]
        wanted = list(dict.fromkeys([self.output, *(each for pair in pairs for each in pair)]))
        images = batch.detach().cpu().numpy()
        parts = [
            self._run(images[start : start + self._most], wanted)
            for start in range(0, len(images), self._most)
        ]
        found = {
            name: torch.from_numpy(np.concatenate([part[at] for part in parts])).to(batch.device)
            for at, name in enumerate(wanted)
        }
        for name, (taken, given) in zip(watched, pairs, strict=True):
            cast(nn.Module, self._modules[name])(found[taken], found[given])
        return found[self.output]

    def tensor(self, layer: str) -> str:
        """Return the tensor of the graph that `features.capture` records for that layer."""
        if layer in self.given or layer != PENULTIMATE:
            return self.given[layer]
        return self.taken[str(embedding_layer(self.layers))]

    def get_submodule(self, target: str) -> nn.Module:
        """Return a layer by its name; a dot in it does not separate modules."""
        module = self._modules.get(target) if target else self
        if module is None:
            raise AttributeError(f"no layer {target!r}")
        return module

    def _run(self, images: Floats, wanted: Sequence[str]) -> list[Floats]:
        count, room = len(images), self.batch_size or len(images)
        if count < room:
            images = np.concatenate([images, np.zeros((room - count, *images.shape[1:]), "f4")])
        feeds = {} if self.input not in wanted else {self.input: images}
        asked = [name for name in wanted if name not in feeds]
        found = (
            dict(zip(asked, self._session.run(asked, {self.input: images}), strict=True)) | feeds
        )
        return [np.asarray(found[name], np.float32)[:count] for name in wanted]

    def _with_outputs(self, own: Shapes) -> "ModelProto":
        """Return the graph with the inputs and outputs of all layers as further outputs."""
        onnx = needed("onnx")
        wanted = dict.fromkeys([*self.taken.values(), *self.given.values()])
        model: ModelProto = onnx.ModelProto()
        model.CopyFrom(self.model)
        for name in wanted:
            if name not in (self.input, self.output):
                model.graph.output.append(
                    onnx.helper.make_tensor_value_info(name, own.types[name], None)
                )
        return model

    def _found(self, own: Shapes) -> tuple[Layer, ...]:
        """Find the layers, and add a module for each to this network."""
        onnx = needed("onnx")
        floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
        size = self.batch_size or 1
        two = own if self.batch_size else shapes.infer(self.model, 2)
        rows = 1 if self.batch_size else 2

        def is_of_images(name: str) -> bool:
            """Return whether a tensor has a row for each image."""
            shape = own.of.get(name, ())
            return (
                own.types.get(name) in floats
                and name not in own.weights
                and len(shape) > 1
                and shape[0] == size
                and two.of.get(name) == (size * rows, *shape[1:])
            )

        layers: list[Layer] = []
        reader = AxesReader(own.of[self.input][1:])
        for node in self.model.graph.node:
            taken = next((name for name in node.input if is_of_images(name)), None)
            given = next((name for name in node.output if is_of_images(name)), None)
            if taken is None or given is None:
                continue
            short = given.lstrip("/")
            name = given if not short or short in own.of or short in self.given else short
            weight, bias, kernels = _weights(node, own, layers, own.of[taken][1:])
            arguments = _arguments(node)
            order, shape = arguments.get("perm"), own.of[given][1:]
            axes = reader.axes(node.op_type, order, own.of[taken][1:], shape)
            layer = Layer(
                name=name,
                type=node.op_type,
                output_shape=shape,
                parameters=sum(own.values(each) for each in node.input if _is_weight(each, own)),
                multiply_adds=costs.multiply_adds(node, own) // size,
                input_shape=own.of[taken][1:],
                arguments=arguments,
                kernels=kernels,
                axes=axes,
                maps=reader.maps(axes, shape),
            )
            self._modules[name] = Tap(weight, bias)
            self.taken[name], self.given[name] = taken, given
            layers.append(layer)
        return tuple(layers)


def load(content: bytes, input: InputSpec, num_classes: int, threads: int) -> OnnxNetwork:
    """Load the network of a published graph, which is checked before ONNX Runtime runs it here.

    It takes float32 (N, C, H, W) of that input, and returns (N, num_classes). Raises `GraphError`.
    """
    trial.check(content)
    model = parsing.parse(content)
    return network(model, input, num_classes, threads)


def network(model: "ModelProto", input: InputSpec, num_classes: int, threads: int) -> OnnxNetwork:
    """Make the network of a graph that `parsing.check` has passed; otherwise like `load`."""
    onnx = needed("onnx")
    name = shapes.image_input(model)
    value = next(each for each in model.graph.input if each.name == name)
    tensor = value.type.tensor_type
    dims = tuple(side.dim_value or None for side in tensor.shape.dim)
    if tensor.elem_type != onnx.TensorProto.FLOAT or dims[1:] != input.shape:
        raise GraphError(
            f"its input {name!r} is not float32 (N, {_text(input.shape)}); import it again"
        )
    if len(model.graph.output) != 1:
        raise GraphError(
            f"it has {len(model.graph.output)} outputs instead of one; import it again"
        )
    size, own = costs.bounded(model)
    output = model.graph.output[0].name
    if own.of.get(output) != (size or 1, num_classes):
        raise GraphError(
            f"it answers with shape {own.of.get(output)} where {num_classes} labels need "
            f"({size or 1}, {num_classes}); import it again"
        )
    return OnnxNetwork(model, own, threads)


def opened(model: "ModelProto", threads: int) -> Any:
    """Open a session for a checked graph; raise `GraphError` if ONNX Runtime does not take it."""
    try:
        return session.session(parsing.serialized(model), threads)
    except FanlightError:
        raise
    except Exception as error:  # whatever onnxruntime raises
        raise GraphError(f"ONNX Runtime does not take it: {reason(error)}") from error


def _is_weight(name: str, own: Shapes) -> bool:
    return name in own.weights and _is_float(own.types[name])


def _is_float(kind: int) -> bool:
    types = needed("onnx").TensorProto
    return kind in (types.FLOAT, types.FLOAT16, types.DOUBLE, types.BFLOAT16)


def _weights(
    node: "NodeProto", own: Shapes, before: Sequence[Layer], taken: tuple[int, ...]
) -> tuple[Tensor | None, Tensor | None, tuple[int, ...] | None]:
    """Return weight, bias and kernel shape (`Layer.kernels`) of a convolution or linear layer.

    All are None for other nodes. `before` are the layers before it, and `taken` is the shape of its
    input.
    """
    onnx = needed("onnx")
    if node.op_type not in ("Conv", "Gemm", "MatMul") or len(node.input) < 2:
        return None, None, None
    found = own.weights.get(node.input[1])
    if found is None or len(found.dims) != (4 if node.op_type == "Conv" else 2):
        return None, None, None
    if node.op_type == "Conv" and len(own.of.get(node.output[0], ())) != 4:
        return None, None, None
    # a copy, since the bytes of a graph can't be written to
    weight = torch.from_numpy(np.array(onnx.numpy_helper.to_array(found), np.float32))
    flags = {each.name: each.i for each in node.attribute}
    if node.op_type == "MatMul" or (node.op_type == "Gemm" and not flags.get("transB")):
        weight = weight.t().contiguous()  # (out, in)
    bias = own.weights.get(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    offset = None
    if bias is not None and math.prod(bias.dims) == len(weight):
        offset = torch.from_numpy(np.array(onnx.numpy_helper.to_array(bias), np.float32)).flatten()
    if node.op_type == "Conv":
        return weight, offset, tuple(weight.shape)
    flattened = before[-1].input_shape if before and before[-1].type in _FLATTENING else ()
    is_map = len(flattened) == 3 and math.prod(flattened[1:]) > 1
    is_turned = len(before) > 1 and before[-2].type == "Transpose"  # as (H, W, C), say
    if is_map and not is_turned and math.prod(flattened) == weight.shape[1]:
        return weight, offset, (len(weight), *flattened)
    return weight, offset, tuple(weight.shape)


def _arguments(node: "NodeProto") -> dict[str, Any]:
    """Return the attributes of a node that JSON can express, save long ones."""
    found: dict[str, Any] = {}
    for each in node.attribute:
        if each.type == each.INT:
            found[each.name] = each.i
        elif each.type == each.FLOAT and math.isfinite(each.f):
            found[each.name] = each.f
        elif each.type == each.INTS and len(each.ints) <= 16:
            found[each.name] = list(each.ints)
        elif each.type == each.STRING and len(each.s) <= 100:
            found[each.name] = each.s.decode("utf-8", "replace")
    return found


def _text(shape: Sequence[int]) -> str:
    return ", ".join(map(str, shape))
