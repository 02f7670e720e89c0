"""What a network computes on its way: layers by name → their outputs, through forward hooks."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


class LayerError(ValueError):
    """The network has no layer of that name."""


@dataclass(frozen=True)
class Layer:
    """A module without children: its output shape is that of one picture, without the batch."""

    name: str
    type: str
    output_shape: tuple[int, ...]
    parameters: int


@contextmanager
def capture(network: nn.Module, layers: Collection[str]) -> Iterator[dict[str, Tensor]]:
    """Record the outputs of the named modules during the forward passes inside the `with` block.

    Yields a dict that each forward pass fills: layer → activation (N, …), detached and copied,
    since a layer that follows may work in place. No hook stays behind, whatever happens inside.
    Raises `LayerError` for a name that `network.named_modules()` doesn't have.
    """
    modules = dict(network.named_modules())
    if unknown := [name for name in layers if name not in modules or not name]:
        known = ", ".join(name for name in modules if name)
        raise LayerError(f"no layer {', '.join(map(repr, unknown))}; there are {known}")
    activations: dict[str, Tensor] = {}

    def record(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            activations[name] = output.detach().clone()

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
    leaves = {
        name: module
        for name, module in network.named_modules()
        if name and not any(module.children()) and not isinstance(module, _IDLE)
    }
    with capture(network, leaves) as activations:
        network(batch)
    return [
        Layer(
            name=name,
            type=type(leaves[name]).__name__,
            output_shape=tuple(output.shape[1:]),
            parameters=sum(p.numel() for p in leaves[name].parameters()),
        )
        for name, output in activations.items()
    ]


_IDLE = (nn.Identity, nn.modules.dropout._DropoutNd)
