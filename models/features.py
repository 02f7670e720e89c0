"""What a network computes on its way: layers by name → their outputs, through forward hooks."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.arithmetic import MultiplyAdds


class LayerError(ValueError):
    """The network has no layer of that name."""


@dataclass(frozen=True)
class Layer:
    """A module that calls no other: a convolution, or attention, which reads its parts' weights.

    The output shape is that of one picture, without the batch, and so are the multiply-adds: those
    of convolutions and matrix products, biases not counted (see `models.arithmetic`). A layer that
    is called twice has twice as many.
    """

    name: str
    type: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


@contextmanager
def capture(network: nn.Module, layers: Collection[str]) -> Iterator[dict[str, Tensor]]:
    """Record the outputs of the named modules during the forward passes inside the `with` block.

    Yields a dict that each forward pass fills: layer → activation (N, …), detached and copied,
    since a layer that follows may work in place; of several outputs the first. No hook stays
    behind, whatever happens inside.

    Raises `LayerError` for a name that `network.named_modules()` doesn't have.
    """
    modules = dict(network.named_modules())
    if unknown := [name for name in layers if name not in modules or not name]:
        known = ", ".join(name for name in modules if name)
        raise LayerError(f"no layer {', '.join(map(repr, unknown))}; there are {known}")
    activations: dict[str, Tensor] = {}

    def record(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            activations[name] = first(output).detach().clone()

        return hook

    handles = [modules[name].register_forward_hook(record(name)) for name in layers]
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
    return [
        Layer(
            name=name,
            type=type(modules[name]).__name__,
            output_shape=shape,
            parameters=sum(p.numel() for p in modules[name].parameters()),
            multiply_adds=trace.multiply_adds[name] // len(batch),
        )
        for name, shape in trace.shapes.items()
        if name not in trace.callers and not isinstance(modules[name], _IDLE)
    ]


class _Trace:
    """What the modules of one forward pass gave, and which of them called others."""

    def __init__(self, counter: MultiplyAdds) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}  # without the batch
        self.multiply_adds: Counter[str] = Counter()  # of the batch, over all calls
        self.callers: set[str] = set()
        self._counter = counter
        self._running: list[str] = []

    def enter(self, name: str) -> Callable[[nn.Module, Any], None]:
        def hook(_module: nn.Module, _inputs: Any) -> None:
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
