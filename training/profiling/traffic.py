"""Memory traffic by layer: network and batch → bytes read and written, operations a byte.

The model is that of the roofline (Williams, Waterman and Patterson, "Roofline: an insightful
visual performance model for multicore architectures", Communications of the ACM 52(4), 2009), with
the traffic that a layer can't do without: each tensor crosses memory once on its way in or out.
Real traffic is more where a kernel reads a tensor several times, and less where a tensor is still
in a cache.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.features import first
from training.profiling import meta
from training.profiling.trace import Call, Trace


@dataclass(frozen=True)
class Traffic:
    """Memory traffic of one pass, for the whole batch; `read` and `written` are bytes."""

    read: int = 0
    written: int = 0
    multiply_adds: int = 0

    @property
    def bytes(self) -> int:
        return self.read + self.written

    @property
    def operations(self) -> int:
        """Floating-point operations: a multiplication and an addition count as two."""
        return 2 * self.multiply_adds

    @property
    def intensity(self) -> float | None:
        """Operations a byte; None where nothing is moved."""
        return self.operations / self.bytes if self.bytes else None

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(
            self.read + other.read,
            self.written + other.written,
            self.multiply_adds + other.multiply_adds,
        )


@dataclass(frozen=True)
class LayerTraffic:
    """Memory traffic of a layer, over all its calls."""

    name: str
    type: str
    forward: Traffic
    backward: Traffic


@dataclass(frozen=True)
class StepTraffic:
    """Memory traffic of a forward and a backward pass: of layers in forward order, and the rest.

    `elsewhere` are operators between layers, such as the addition of a residual connection, each of
    which reads and writes by itself, and sums of gradients. `between` are the names of such
    operators in the forward pass. `trained` are the bytes of the parameters that have gradients.
    """

    batch_size: int
    layers: tuple[LayerTraffic, ...]
    elsewhere: LayerTraffic
    between: tuple[str, ...]
    trained: int

    @property
    def total(self) -> LayerTraffic:
        rows = [*self.layers, self.elsewhere]
        return LayerTraffic(
            *("total", ""),
            forward=sum((row.forward for row in rows), Traffic()),
            backward=sum((row.backward for row in rows), Traffic()),
        )


def measure(network: nn.Module, batch: Tensor, layers: Mapping[str, str]) -> StepTraffic:
    """Count the traffic of a step with a batch (N, C, H, W), from its shape, without computing.

    Both passes are those of evaluation mode, in which the network must be: dropout moves nothing,
    and batch normalisation uses its running statistics. The loss is left out: the backward pass
    starts with the gradient of the logits. `layers` are the types of the layers by name, such as
    `models.structure.reading` finds.

    Raises what the forward pass raises if it needs the values of tensors.
    """
    weights, pixels = meta.tensors(network), batch.to("meta")
    trained = [tensor for tensor in weights.values() if tensor.requires_grad]
    trace = Trace()
    with ExitStack() as hooks:
        for name in layers:
            before, after = trace.forward_hooks(name)
            module = network.get_submodule(name)
            hooks.enter_context(module.register_forward_pre_hook(before, with_kwargs=True))
            hooks.enter_context(module.register_forward_hook(after))
        with torch.enable_grad(), torch.device("meta"), trace:
            logits = first(torch.func.functional_call(network, weights, pixels))
    trace.keep(logits)
    if logits.requires_grad:
        gradient = torch.ones_like(logits)
        trace.is_backward = True
        with trace:
            results = torch.autograd.grad(logits, trained, gradient, allow_unused=True)
        trace.keep(results)
    return StepTraffic(
        batch_size=len(batch),
        layers=tuple(_row(trace.calls, name, type) for name, type in layers.items()),
        elsewhere=_row(trace.calls, None, ""),
        between=tuple(dict.fromkeys(_between(trace.calls))),
        trained=sum(tensor.nbytes for tensor in trained),
    )


def _between(calls: Iterable[Call]) -> Iterator[str]:
    for call in calls:
        if call.operator is not None and not call.is_backward:
            yield call.operator


def _row(calls: Iterable[Call], layer: str | None, type: str) -> LayerTraffic:
    own = [call for call in calls if call.layer == layer]

    def of(is_backward: bool) -> Traffic:
        parts = [each for each in own if each.is_backward == is_backward]
        return Traffic(
            read=sum(each.read for each in parts),
            written=sum(each.written for each in parts),
            multiply_adds=sum(each.multiply_adds for each in parts),
        )

    return LayerTraffic(layer or "elsewhere", type, of(is_backward=False), of(is_backward=True))
