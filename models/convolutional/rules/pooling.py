"""Pooling: small windows stay; a window over a whole side slides, with the input's own size.

Sums over a window are taken along one side after the other, so that large ones cost little.
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from models.convolutional.layout import Axes, Layout, Sizes
from models.convolutional.rules.convolutions import strides
from models.convolutional.rules.registry import rule
from models.convolutional.tracing import Call, Tracer, Value

Pool = Callable[[Tensor, int, int], Tensor]
"""A function that pools maps (N, C, H, W) over windows of (rows, columns), with stride 1."""


def average(x: Tensor, rows: int, columns: int) -> Tensor:
    x = F.avg_pool2d(x, (rows, 1), 1) if rows > 1 else x
    return F.avg_pool2d(x, (1, columns), 1) if columns > 1 else x


def maximum(x: Tensor, rows: int, columns: int) -> Tensor:
    x = F.max_pool2d(x, (rows, 1), 1) if rows > 1 else x
    return F.max_pool2d(x, (1, columns), 1) if columns > 1 else x


def minimum(x: Tensor, rows: int, columns: int) -> Tensor:
    return -maximum(-x, rows, columns)


def total(x: Tensor, rows: int, columns: int) -> Tensor:
    return average(x, rows, columns) * (rows * columns)


@rule("max_pool2d", "max_pool2d_with_indices", "avg_pool2d")
def pooling(tracer: Tracer, call: Call) -> Value:
    maps = tracer.as_maps(call.value())
    if maps is None:
        raise call.obstacle()
    further = {name: each for name, each in call.given.items() if name != "self"}
    kernel = further["kernel_size"]
    stride = strides(
        maps.sizes,
        kernel,
        further["stride"] or kernel,
        further["padding"],
        further.get("dilation", [1]),
    )
    further["stride"] = list(stride)
    slide = F.avg_pool2d if call.name == "avg_pool2d" else F.max_pool2d
    return tracer.add(
        lambda x: slide(x, **further),
        [maps],
        Layout(call.output),
        (maps.stride[0] * stride[0], maps.stride[1] * stride[1]),
    )


@rule("adaptive_avg_pool2d", "adaptive_max_pool2d")
def adaptive(tracer: Tracer, call: Call) -> Value | list[Value]:
    maps = tracer.as_maps(call.value())
    if maps is None:
        raise call.obstacle()
    pool = average if call.name == "adaptive_avg_pool2d" else maximum
    seen = call.output
    if seen[1:] == maps.sizes[1:]:
        return maps
    windows = [
        [(at * side // count, -(-(at + 1) * side // count)) for at in range(count)]
        for side, count in zip(maps.sizes[1:], seen[1:], strict=True)
    ]  # from where to where each goes, as torch has it
    cells = [(down, across) for down in windows[0] for across in windows[1]]
    height, width = maps.sizes[1:]

    def run(x: Tensor) -> Tensor:
        rows, columns = x.shape[2] - height + 1, x.shape[3] - width + 1
        found = x.new_empty(len(x), x.shape[1], len(cells), rows, columns)
        for number, ((top, bottom), (left, right)) in enumerate(cells):
            part = x[:, :, top : bottom + rows - 1, left : right + columns - 1]
            found[:, :, number] = pool(part, bottom - top, right - left)
        return found.flatten(1, 2)

    pooled = tracer.add(run, [maps], Layout(Sizes(seen.numel, 1, 1)))
    flat = Layout.seen_as(pooled.sizes, ("c",))
    seen_as = flat.changed(lambda where: where.reshape(-1, *seen))
    if seen_as is None:
        raise call.obstacle()
    return Value(pooled.index, seen_as, pooled.stride)


_REDUCTIONS: dict[str, tuple[Pool, Callable[[Tensor], Tensor]]] = {
    "mean": (average, lambda x: x.mean(1, keepdim=True)),
    "sum": (total, lambda x: x.sum(1, keepdim=True)),
    "amax": (maximum, lambda x: x.amax(1, keepdim=True)),
    "amin": (minimum, lambda x: x.amin(1, keepdim=True)),
}


@rule(*_REDUCTIONS)
def reduction(tracer: Tracer, call: Call) -> Value:
    """Convert a reduction: over rows and columns to a sliding window, over channels per place."""
    found = tracer.arranged(call.value())
    dims = call.given.get("dim")
    if found is None or dims is None or call.given.get("dtype") is not None:
        raise call.obstacle()
    value, axes = found
    reduced = [dim % (len(axes) + 1) - 1 for dim in dims]
    atoms = {axes[dim] for dim in reduced if dim >= 0}
    if min(reduced, default=-1) < 0 or not ({"h", "w"} >= atoms - {None} or atoms == {"c"}):
        raise call.obstacle()
    pool, over_channels = _REDUCTIONS[call.name]
    sizes = value.sizes
    if atoms == {"c"}:
        left = sizes._replace(c=1)
        value = tracer.add(over_channels, [value], Layout(left))
    elif atoms - {None}:
        rows, columns = (sizes.of(atom) if atom in atoms else 1 for atom in ("h", "w"))
        left = sizes._replace(**{str(atom): 1 for atom in atoms if atom})
        value = tracer.add(lambda x: pool(x, rows, columns), [value], Layout(left))
    kept: Axes = tuple(axes)
    if not call["keepdim"]:
        kept = tuple(axis for place, axis in enumerate(axes) if place not in reduced)
    return Value(value.index, Layout.seen_as(value.sizes, kept), value.stride)
