"""The cost of a network by layer: network and batch → memory, multiply-adds and time.

Shapes and multiply-adds come from `models.features`, times and activations from forward passes in
evaluation mode. Training memory comes from one pass on torch's meta device: it computes and
allocates nothing, but gives the shapes of all tensors that the backward pass would need.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models import features
from models.structure import reading
from models.structure.multiply_adds import MultiplyAdds
from training.profiling import meta

_WARM_UP = 2  # passes


@dataclass(frozen=True)
class Cost:
    """The cost of a part of the network.

    Multiply-adds and activations are per image; the time is for the whole batch. Activations are
    outputs that allocate memory: not views of the input, nor outputs of in-place layers.
    """

    parameters: int
    weight_bytes: int
    multiply_adds: int
    activation_bytes: int
    milliseconds: float


@dataclass(frozen=True)
class LayerCost:
    """The cost of a layer; the output shape is that of one picture, without the batch."""

    name: str
    type: str
    output_shape: tuple[int, ...]
    cost: Cost


@dataclass(frozen=True)
class Profile:
    """The cost of a network: its layers in the order of the forward pass, the rest, and the sum.

    `elsewhere` is the cost outside of layers: parameters of modules that call others or that the
    pass misses, operations between layers, the time of the calls themselves. Activations between
    layers are not known, and not counted. A parameter that layers share counts for the first.
    """

    layers: tuple[LayerCost, ...]
    elsewhere: Cost
    total: Cost


@dataclass(frozen=True)
class TrainingMemory:
    """An estimate of the peak memory of a training step, in bytes.

    `activations` are the tensors that the backward pass needs, for the whole batch and including
    the batch itself. The totals are for plain SGD, momentum (one more value per parameter) and Adam
    (two more). Gradients are allocated while activations are freed, so the totals are upper bounds.
    Workspace memory of kernels is not counted.
    """

    weights: int
    gradients: int
    activations: int
    with_sgd: int
    with_momentum: int
    with_adam: int


@torch.inference_mode()
def profile(network: nn.Module, batch: Tensor, passes: int) -> Profile:
    """Measure the cost of a network in evaluation mode for a batch (N, C, H, W) on its device.

    Times are medians over the passes, after two warm-up passes. On a GPU the profiler synchronises
    after each layer, so the time of a small layer is mostly launch overhead.
    """
    layers = reading.layers(network, batch[:1])
    modules = {layer.name: network.get_submodule(layer.name) for layer in layers}
    counter = MultiplyAdds()
    with counter:
        activations = _activations(network, batch[:1], modules)
    milliseconds, around = _milliseconds(network, batch, modules, passes)
    unclaimed = dict.fromkeys(network.parameters())

    def cost(module: nn.Module, multiply_adds: int, activations: int, milliseconds: float) -> Cost:
        parameters = [p for p in module.parameters() if p in unclaimed]
        for parameter in parameters:
            del unclaimed[parameter]
        return Cost(
            parameters=sum(p.numel() for p in parameters),
            weight_bytes=sum(p.nbytes for p in parameters),
            multiply_adds=multiply_adds,
            activation_bytes=activations,
            milliseconds=milliseconds,
        )

    rows = []
    for layer in layers:
        own = activations[layer.name], milliseconds[layer.name]
        of_layer = cost(modules[layer.name], layer.multiply_adds, *own)
        rows.append(LayerCost(layer.name, layer.type, layer.output_shape, of_layer))
    between = counter.total - sum(row.cost.multiply_adds for row in rows)
    elsewhere = cost(network, between, 0, around)
    return Profile(tuple(rows), elsewhere, _sum([*(row.cost for row in rows), elsewhere]))


def training_memory(network: nn.Module, batch: Tensor) -> TrainingMemory:
    """Estimate the memory of a training step with the batch (N, C, H, W), without computing it.

    The network must be in evaluation mode, and is left in it. Raises what the forward pass raises
    if the network can't be trained on such a batch: `ValueError` for batch normalisation of one
    value, say.
    """
    tensors = meta.tensors(network)
    own = {tensor.untyped_storage()._cdata for tensor in tensors.values()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage  # holding it keeps its address from being given to another
        return tensor

    network.train()
    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            torch.func.functional_call(network, tensors, batch.to("meta"))
    finally:
        network.eval()
    weights = sum(tensor.nbytes for tensor in tensors.values())
    gradients = sum(p.nbytes for p in network.parameters() if p.requires_grad)
    activations = sum(storage.nbytes() for key, storage in kept.items() if key not in own)
    plain = weights + gradients + activations
    return TrainingMemory(
        weights=weights,
        gradients=gradients,
        activations=activations,
        with_sgd=plain,
        with_momentum=plain + gradients,
        with_adam=plain + 2 * gradients,
    )


def _sum(costs: Sequence[Cost]) -> Cost:
    return Cost(
        parameters=sum(each.parameters for each in costs),
        weight_bytes=sum(each.weight_bytes for each in costs),
        multiply_adds=sum(each.multiply_adds for each in costs),
        activation_bytes=sum(each.activation_bytes for each in costs),
        milliseconds=sum(each.milliseconds for each in costs),
    )


def _activations(
    network: nn.Module, picture: Tensor, modules: Mapping[str, nn.Module]
) -> dict[str, int]:
    """Return the bytes that each module's outputs newly allocate, over all calls in one pass."""
    taken: dict[str, int] = defaultdict(int)

    def record(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            output = features.first(output)
            before = {_address(each) for each in inputs if isinstance(each, Tensor)}
            if _address(output) not in before:
                taken[name] += output.nbytes

        return hook

    with ExitStack() as hooks:
        for name, module in modules.items():
            hooks.enter_context(module.register_forward_hook(record(name)))
        network(picture)
    return taken


def _milliseconds(
    network: nn.Module, batch: Tensor, modules: Mapping[str, nn.Module], passes: int
) -> tuple[dict[str, float], float]:
    """Measure the median time of each module in a forward pass, and of the rest of the pass."""
    spent: dict[str, float] = {}

    def now() -> float:
        if batch.device.type == "cuda":
            torch.cuda.synchronize(batch.device)
        return time.perf_counter() * 1000

    def start(name: str) -> Callable[[nn.Module, Any], None]:
        def hook(_module: nn.Module, _inputs: Any) -> None:
            spent[name] -= now()

        return hook

    def stop(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, _output: Any) -> None:
            spent[name] += now()

        return hook

    samples: list[dict[str, float]] = []
    around: list[float] = []
    with ExitStack() as hooks:
        for name, module in modules.items():
            hooks.enter_context(module.register_forward_pre_hook(start(name)))
            hooks.enter_context(module.register_forward_hook(stop(name)))
        for _ in range(_WARM_UP + passes):
            spent.update(dict.fromkeys(modules, 0.0))
            started = now()
            network(batch)
            around.append(now() - started - sum(spent.values()))
            samples.append(dict(spent))
    counted = slice(_WARM_UP, None)
    medians = {
        name: statistics.median(sample[name] for sample in samples[counted]) for name in modules
    }
    return medians, statistics.median(around[counted])


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
