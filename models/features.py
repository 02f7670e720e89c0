"""What a network computes on its way: layers by name → their outputs, through forward hooks."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from models.errors import FanlightError
from models.multiply_adds import MultiplyAdds
from models.registry import proposal

PENULTIMATE = "penultimate"
"""The name under which `capture` gives the embedding: what the last layer takes."""


class LayerError(FanlightError):
    """The network has no layer of that name."""


@dataclass(frozen=True)
class Layer:
    """A module that calls no other: a convolution, or attention, which reads its parts' weights.

    The shapes are those of one picture, without the batch, and so are the multiply-adds: those of
    convolutions and matrix products, biases not counted (see `models.multiply_adds`). A layer
    that is called twice has twice as many.

    `arguments` are what the module was built with. `kernels` is the shape of its weight as
    pictures: (out, in, H, W) of a convolution; of a linear layer (out, C, H, W) where it takes what
    was a map or the picture, else (out, in); None of other layers.
    """

    name: str
    type: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    input_shape: tuple[int, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    kernels: tuple[int, ...] | None = None

    @property
    def is_map(self) -> bool:
        """Whether it gives channels (C, H, W) of more than one pixel."""
        return len(self.output_shape) == 3 and math.prod(self.output_shape[1:]) > 1

    @property
    def is_convolution(self) -> bool:
        return self.kernels is not None and len(self.output_shape) == 3


class OpaqueNetwork(nn.Module):
    """A network that is not computed by its modules: it has no gradients, and tells its `layers`.

    It has a module for each, which it calls with what the layer takes and gives, if it has hooks.
    """

    layers: tuple[Layer, ...]


@contextmanager
def capture(
    network: nn.Module, names: Collection[str], layers: Sequence[Layer] = ()
) -> Iterator[dict[str, Tensor]]:
    """Record the outputs of the named modules during the forward passes inside the `with` block.

    Yields a dict that each forward pass fills: name → activation (N, …), detached and copied,
    since a layer that follows may work in place; of several outputs the first. `PENULTIMATE` is the
    input of `embedding_layer(layers)`, flattened (N, D), unless a module has that name. No hook
    stays behind, whatever happens inside.

    Raises `LayerError` for a name that is neither a module of the network nor `PENULTIMATE` of
    known `layers`.
    """
    modules = {name: module for name, module in network.named_modules() if name}
    embedding_of = embedding_layer(layers) if PENULTIMATE not in modules else None
    known = [*modules, *([PENULTIMATE] if embedding_of is not None else [])]
    if unknown := [name for name in names if name not in known]:
        raise LayerError(
            f"no layer {', '.join(map(repr, unknown))}; {proposal(unknown[0], known)}"
            f"there are {', '.join(known) or 'none'}"
        )
    activations: dict[str, Tensor] = {}

    def record(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            activations[name] = first(output).detach().clone()

        return hook

    def record_embedding(_module: nn.Module, inputs: Any) -> None:
        activations[PENULTIMATE] = first(inputs).detach().flatten(1).clone()

    own = [name for name in names if name in modules]
    handles = [modules[name].register_forward_hook(record(name)) for name in own]
    if embedding_of is not None and PENULTIMATE in names:
        handles.append(modules[embedding_of].register_forward_pre_hook(record_embedding))
    try:
        yield activations
    finally:
        for handle in handles:
            handle.remove()


@torch.inference_mode()
def layers(network: nn.Module, batch: Tensor) -> list[Layer]:
    """The network's layers in the order in which a forward pass of the batch reaches them.

    Layers that do nothing in evaluation (dropout, identity) are left out. The network must be in
    evaluation mode.
    """
    if isinstance(network, OpaqueNetwork):
        return list(network.layers)
    modules = {name: module for name, module in network.named_modules() if name}
    counter = MultiplyAdds()
    trace = _Trace(counter)
    with counter, ExitStack() as hooks:
        for name, module in modules.items():
            hooks.enter_context(module.register_forward_pre_hook(trace.enter(name)))
            hooks.enter_context(module.register_forward_hook(trace.leave(name)))
        network(batch)
    found: list[Layer] = []
    for name, shape in trace.shapes.items():
        module = modules[name]
        if name in trace.callers or isinstance(module, _IDLE):
            continue
        before = found[-1] if found else None
        layer = Layer(
            name=name,
            type=type(module).__name__,
            output_shape=shape,
            parameters=sum(p.numel() for p in module.parameters()),
            multiply_adds=trace.multiply_adds[name] // len(batch),
            input_shape=trace.input_shapes[name],
            arguments=_arguments(module),
            kernels=_kernels(module, trace.input_shapes[name], before, tuple(batch.shape[1:])),
        )
        found.append(layer)
    return found


def embedding_layer(layers: Sequence[Layer]) -> str | None:
    """The layer whose input is the embedding: the last with parameters; None if none has any."""
    return next((layer.name for layer in reversed(layers) if layer.parameters), None)


def shapes(layers: Sequence[Layer]) -> dict[str, tuple[int, ...]]:
    """What `capture` can record of a network with these layers: name → shape for one picture."""
    found = {layer.name: layer.output_shape for layer in layers}
    embedding_of = embedding_layer(layers)
    for layer in layers:
        if layer.name == embedding_of:
            found.setdefault(PENULTIMATE, (math.prod(layer.input_shape),))
    return found


def kernels(network: nn.Module, layer: Layer) -> Tensor:
    """The layer's weight in the shape of `Layer.kernels`; raises `LayerError` if it has none."""
    if layer.kernels is None:
        raise LayerError(f"the layer {layer.name!r} has no kernels")
    return network.get_submodule(layer.name).get_parameter("weight").detach().view(layer.kernels)


def _arguments(module: nn.Module) -> dict[str, Any]:
    """What torch lists as the constants of the module, as far as JSON has it."""
    names = getattr(module, "__constants__", [])
    values = {name: getattr(module, name, None) for name in names}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if isinstance(value, bool | int | float | str | tuple | list)
    }


def _kernels(
    module: nn.Module,
    input_shape: tuple[int, ...],
    before: Layer | None,
    picture: tuple[int, ...],
) -> tuple[int, ...] | None:
    """See `Layer.kernels`; `before` is the layer before it, if there is one."""
    if isinstance(module, nn.Conv2d):
        return tuple(module.weight.shape)
    if not isinstance(module, nn.Linear):
        return None
    outputs, inputs = module.weight.shape
    if before is None:
        flattened = picture
    else:
        flattened = before.input_shape if before.type == "Flatten" else before.output_shape
    templates = len(flattened) == 3 and math.prod(flattened[1:]) > 1
    if len(input_shape) == 1 and templates and math.prod(flattened) == inputs:
        return outputs, *flattened
    return outputs, inputs


class _Trace:
    """What the modules of one forward pass gave, and which of them called others."""

    def __init__(self, counter: MultiplyAdds) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}  # of the outputs, without the batch
        self.input_shapes: dict[str, tuple[int, ...]] = {}
        self.multiply_adds: Counter[str] = Counter()  # of the batch, over all calls
        self.callers: set[str] = set()
        self._counter = counter
        self._running: list[str] = []

    def enter(self, name: str) -> Callable[[nn.Module, Any], None]:
        def hook(_module: nn.Module, inputs: Any) -> None:
            taken = first(inputs) if inputs else None
            self.input_shapes[name] = tuple(taken.shape[1:]) if isinstance(taken, Tensor) else ()
            self.callers.update(self._running[-1:])
            self._running.append(name)
            self.multiply_adds[name] -= self._counter.total

        return hook

    def leave(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            self._running.pop()
            self.multiply_adds[name] += self._counter.total
            if isinstance(output := first(output), Tensor):
                self.shapes[name] = tuple(output.shape[1:])

        return hook


def first(output: Any) -> Any:
    """A module's output; the first where it gives several, as attention does with its weights."""
    return output[0] if isinstance(output, tuple) else output


_IDLE = (nn.Identity, nn.modules.dropout._DropoutNd)
