"""Elementwise operators stay as they are, once the maps of both operands have the same layout."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from models.convolutional.layout import ATOMS, Atom, Axes, Layout, Sizes, aligned
from models.convolutional.rules.registry import rule
from models.convolutional.tracing import Call, Tracer, Value

_H: tuple[Atom, int] = ("h", 2)  # and its dimension of (N, C, H, W)
_W: tuple[Atom, int] = ("w", 3)


@rule("pointwise", "hardswish", "prelu_kernel")
def pointwise(tracer: Tracer, call: Call) -> Value:
    given = {name: each for name, each in call.given.items() if each is not None}
    leaves, structure = tree_flatten(given)
    values = [each for each in leaves if isinstance(each, Value)]
    values, seen = _alike(tracer, call, values)
    sizes, stride = seen.sizes, values[0].stride
    arranged = [
        _constant(call, each, seen) if isinstance(each, Tensor) and each.ndim else each
        for each in leaves
    ]
    is_in_place = call.func.overloadpacket.__name__.endswith("_")
    func = call.func

    def run(*maps: Tensor) -> Tensor:
        waiting = iter(around(maps, [each.sizes for each in values], sizes))
        filled = [next(waiting) if isinstance(each, Value) else each for each in arranged]
        named: dict[str, Any] = tree_unflatten(filled, structure)
        if is_in_place:
            named["self"] = named["self"].clone()
        result: Tensor = func(**named)
        return result

    return tracer.add(run, values, seen, stride)


def _alike(tracer: Tracer, call: Call, values: Sequence[Value]) -> tuple[list[Value], Layout]:
    """Arrange the operands so that their maps broadcast; return them and the result's layout."""
    first = values[0]
    needs_vector = first.layout.is_flat and not first.sizes.is_vector
    if all(each.layout is first.layout for each in values) and not (
        needs_vector and _has_constants(call)
    ):
        return list(values), first.layout
    axes: Axes = ()
    found = []
    for each in values:
        vector = tracer.as_vector(each)
        arranged = (vector, ("c",)) if vector is not None else tracer.arranged(each)
        if arranged is None:
            raise call.obstacle()
        found.append(arranged[0])
        axes = _joined(call, axes, arranged[1])
    if len({each.stride for each in found}) > 1:
        raise call.obstacle()
    sides = [{each.sizes.of(atom) for each in found} - {1} for atom in ATOMS]
    if any(len(each) > 1 for each in sides):
        raise call.obstacle()
    sizes = Sizes(*(max(each, default=1) for each in sides))
    return found, Layout.seen_as(sizes, axes)


def _joined(call: Call, one: Axes, other: Axes) -> Axes:
    """Return the axes of a result; raise `NotConvolutionalError` if the operands' differ."""
    first, second = aligned(one, other)
    joined = tuple(a or b for a, b in zip(first, second, strict=True))
    if any(None not in pair and pair[0] != pair[1] for pair in zip(first, second, strict=True)):
        raise call.obstacle()
    named = [axis for axis in joined if axis]
    if len(set(named)) < len(named):
        raise call.obstacle()
    return joined


def _has_constants(call: Call) -> bool:
    leaves, _ = tree_flatten(dict(call.given))
    return any(isinstance(each, Tensor) and each.ndim for each in leaves)


def _constant(call: Call, constant: Tensor, seen: Layout) -> Tensor:
    """Reshape a tensor of the network to (1, C, 1, 1), to be combined with maps."""
    lines = seen.lines
    if lines is None or constant.ndim > len(lines.axes) + 1:
        raise call.obstacle()
    axes = (None, *lines.axes)[-constant.ndim :]  # of the constant; torch aligns from the right
    if any(length > 1 and axis != "c" for axis, length in zip(axes, constant.shape, strict=True)):
        raise call.obstacle("with weights of its own for each place")
    return constant.reshape(1, constant.numel(), 1, 1)


def around(maps: Sequence[Tensor], sizes: Sequence[Sizes], whole: Sizes) -> list[Tensor]:
    """Bring operands to the same rows and columns, if some were pooled over a whole side.

    A row, or column, gets the pooled value of the window around it; near the edges, of the
    outermost window of the image. Squeeze and excitation (Hu et al. 2017,
    https://arxiv.org/abs/1709.01507) multiplies maps by such values.
    """
    found = list(maps)
    for atom, dim in (_H, _W):
        own = whole.of(atom)
        pairs = list(zip(maps, sizes, strict=True))
        rows = max(x.shape[dim] for x, each in pairs if each.of(atom) == own)
        for place, each in enumerate(sizes):
            if each.of(atom) < own:
                x = found[place]
                windows = torch.arange(rows, device=x.device) - own // 2
                found[place] = x.index_select(dim, windows.clamp(0, x.shape[dim] - 1))
    return found
