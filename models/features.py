"""What a network computes on its way: layers by name → their outputs, through forward hooks."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from models.arithmetic import MultiplyAdds

PENULTIMATE = "penultimate"
"""The name under which `capture` gives the embedding: what the last layer takes."""


class LayerError(ValueError):
    """The network has no layer of that name."""


@dataclass(frozen=True)
class Layer:
    """A module that calls no other: a convolution, or attention, which reads its parts' weights.

    The shapes are those of one picture, without the batch, and so are the multiply-adds: those of
    convolutions and matrix products, biases not counted (see `models.arithmetic`). A layer that is
    called twice has twice as many.

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


@contextmanager
def capture(
    network: nn.Module, layers: Collection[str], embedding_of: str = ""
) -> Iterator[dict[str, Tensor]]:
    """Record the outputs of the named modules during the forward passes inside the `with` block.

    Yields a dict that each forward pass fills: layer → activation (N, …), detached and copied,
    since a layer that follows may work in place; of several outputs the first. Under the name
    `PENULTIMATE` it is what the module `embedding_of` takes, flattened (N, D). No hook stays
    behind, whatever happens inside.

    Raises `LayerError` for a name that `network.named_modules()` doesn't have.
    """
    modules = dict(network.named_modules())
    embedding = PENULTIMATE in layers and embedding_of in modules
    layers = [name for name in layers if not (embedding and name == PENULTIMATE)]
    if unknown := [name for name in layers if name not in modules or not name]:
        known = ", ".join(name for name in modules if name)
        raise LayerError(f"no layer {', '.join(map(repr, unknown))}; there are {known}")
    activations: dict[str, Tensor] = {}

    def record(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            activations[name] = first(output).detach().clone()

        return hook

    def record_embedding(_module: nn.Module, inputs: Any) -> None:
        activations[PENULTIMATE] = first(inputs).detach().flatten(1).clone()

    handles = [modules[name].register_forward_hook(record(name)) for name in layers]
    if embedding:
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


def embedding_layer(layers: Sequence[Layer]) -> str:
    """The layer whose input is the embedding: the last one that has parameters; "" if none has."""
    return next((layer.name for layer in reversed(layers) if layer.parameters), "")


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
