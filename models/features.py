"""The outputs of a network's layers, recorded by forward hooks: name of a layer → its activation.

`models.structure.reading` finds the layers.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from models.errors import FanlightError
from models.registry import listed, proposal
from models.structure.axes import CHANNELS_FIRST, TOKENS, Axes
from models.structure.places import ROWS, Place

PENULTIMATE = "penultimate"
"""The name of the embedding in `capture`: the input of the last layer with parameters."""


class LayerError(FanlightError):
    """The network has no layer of that name."""


@dataclass(frozen=True)
class Layer:
    """A layer: a module that calls no other, such as a convolution.

    Attention counts as one, since it reads its parts' weights without calling them. A block, which
    calls other modules, has the same fields, save its kernels.

    The shapes and the multiply-adds are those of one picture, without the batch. Counted are the
    multiply-adds of convolutions and matrix products, without biases
    (`models.structure.multiply_adds`), over all `calls`. Shapes and activations are those of the
    last call.

    `axes` say what each axis of the output is. `maps` (C, H, W) are its channels as maps of the
    picture; None if it has none, or maps of one pixel each.

    `arguments` are what the module was built with. `kernels` is the shape of its weight as
    pictures: (out, in, H, W) of a convolution; of a linear layer (out, C, H, W) if its input was a
    map or the picture, else (out, in); None for other layers.

    `given` and `taken` are the places of a batch's images in its output and its input; `taken` is
    None if they can't be told apart.
    """

    name: str
    type: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    input_shape: tuple[int, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    kernels: tuple[int, ...] | None = None
    axes: Axes = ()
    maps: tuple[int, int, int] | None = None
    calls: int = 1
    given: Place = ROWS
    taken: Place | None = ROWS

    @property
    def is_convolution(self) -> bool:
        return self.kernels is not None and len(self.kernels) == 4 and len(self.output_shape) == 3


class OpaqueNetwork(nn.Module):
    """A network that its modules don't compute, such as a graph: it lists its `layers` itself.

    It has no gradients. It has a module for each layer. If that module has hooks, the network calls
    it with the layer's input and output.
    """

    layers: tuple[Layer, ...]
    batch_size: int | None  # of a network that takes so many images alone


@contextmanager
def capture(
    network: nn.Module,
    names: Collection[str],
    layers: Sequence[Layer] = (),
    blocks: Sequence[Layer] = (),
) -> Iterator[dict[str, Tensor]]:
    """Record the outputs of the named modules during the forward passes inside the `with` block.

    Yields a dict that each forward pass fills: name → activation (N, …), detached and copied, since
    a later layer may work in place. Of several outputs, the first is recorded. Images are moved to
    the first axis in outputs of known `layers` and `blocks`. `PENULTIMATE` is the input of
    `embedding_layer(layers)`, flattened (N, D), unless a module has that name. All hooks are
    removed at the end, also after an error. Raises `LayerError` for a name that is neither a module
    of the network nor `PENULTIMATE` of known `layers`.
    """
    modules = {name: module for name, module in network.named_modules() if name}
    embedding_of = embedding_layer(layers) if PENULTIMATE not in modules else None
    known = [*modules, *([PENULTIMATE] if embedding_of is not None else [])]
    if unknown := [name for name in names if name not in known]:
        raise LayerError(
            f"no layer {', '.join(map(repr, unknown))}; {proposal(unknown[0], known)}"
            f"there are {listed(known)}"
        )
    activations: dict[str, Tensor] = {}
    places = {each.name: each.given for each in (*layers, *blocks)}
    embedding_place = next((x.taken for x in layers if x.name == embedding_of and x.taken), ROWS)

    def record(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            activations[name] = places.get(name, ROWS).arranged(first(output).detach()).clone()

        return hook

    def record_embedding(_module: nn.Module, inputs: Any) -> None:
        given = embedding_place.arranged(first(inputs).detach())
        activations[PENULTIMATE] = given.flatten(1).clone()

    own = [name for name in names if name in modules]
    handles = [modules[name].register_forward_hook(record(name)) for name in own]
    if embedding_of is not None and PENULTIMATE in names:
        handles.append(modules[embedding_of].register_forward_pre_hook(record_embedding))
    try:
        yield activations
    finally:
        for handle in handles:
            handle.remove()


def maps(layer: Layer, activation: Tensor) -> Tensor:
    """Return the activation (N, …) of a layer with maps, images first, as (N, C, H, W).

    Of tokens, the last H · W are used: they are the places of the image, row by row. Raises
    `LayerError` if the layer has no maps.
    """
    if layer.maps is None:
        raise LayerError(f"the layer {layer.name!r} gives no maps")
    if layer.axes == TOKENS:
        _channels, height, width = layer.maps
        places = activation[:, -height * width :]  # (N, H·W, C)
        return places.movedim(-1, 1).reshape(len(activation), -1, height, width)
    order = [layer.axes.index(each) + 1 for each in CHANNELS_FIRST]
    return activation.permute(0, *order)


def embedding_layer(layers: Sequence[Layer]) -> str | None:
    """Return the name of the layer whose input is the embedding: the last with parameters.

    None if no layer has any, or if that input can't be divided among the images.
    """
    last = next((layer for layer in reversed(layers) if layer.parameters), None)
    return last.name if last is not None and last.taken is not None else None


def shapes(layers: Sequence[Layer]) -> dict[str, tuple[int, ...]]:
    """Return what `capture` can record of these layers: name → shape for one picture."""
    found = {layer.name: layer.output_shape for layer in layers}
    embedding_of = embedding_layer(layers)
    for layer in layers:
        if layer.name == embedding_of:
            found.setdefault(PENULTIMATE, (math.prod(layer.input_shape),))
    return found


def kernels(network: nn.Module, layer: Layer) -> Tensor:
    """Return the layer's weight in the shape `Layer.kernels`; raise `LayerError` without one."""
    if layer.kernels is None:
        raise LayerError(f"the layer {layer.name!r} has no kernels")
    weight = network.get_submodule(layer.name).get_parameter("weight").detach()
    return weight.contiguous().view(layer.kernels)  # it may be laid out with channels last


def first(output: Any) -> Any:
    """Return a module's output, or the first of several (attention returns weights, too)."""
    return output[0] if isinstance(output, tuple) else output


def with_first(output: Any, tensor: Tensor) -> Any:
    """Return a module's output with `tensor` in place of its first, or only, tensor."""
    if not isinstance(output, tuple):
        return tensor
    parts = (tensor, *output[1:])
    return type(output)(*parts) if hasattr(output, "_fields") else parts
