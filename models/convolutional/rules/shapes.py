"""Operators that change how a network sees its maps, but not the maps themselves."""

from collections.abc import Callable

import torch
from torch import Tensor

from models.convolutional.layout import Axes, Layout
from models.convolutional.rules.registry import rule
from models.convolutional.tracing import Call, Tracer, Value

_ONE = (
    *("view", "unsafe_view", "reshape", "flatten", "unflatten", "permute", "transpose", "movedim"),
    *("squeeze", "unsqueeze", "select", "slice", "narrow", "t", "swapaxes", "index_select"),
)
_SEVERAL = ("split", "split_with_sizes", "chunk", "unbind", "tensor_split")


@rule(*_ONE)
def one(_tracer: Tracer, call: Call) -> Value:
    return _changed(call, lambda where: _called(call, where))


@rule(*_SEVERAL)
def several(_tracer: Tracer, call: Call) -> list[Value]:
    def part(number: int) -> Callable[[Tensor], Tensor]:
        return lambda where: _called(call, where)[number]

    return [_changed(call, part(number)) for number in range(len(call.result))]


@rule("alias", "clone", "contiguous", "detach", "lift_fresh")
def same(_tracer: Tracer, call: Call) -> Value:
    return call.value()


@rule("to_copy", "to")
def converted(_tracer: Tracer, call: Call) -> Value:
    if not call.result.is_floating_point():
        raise call.obstacle()
    return call.value()


@rule("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "native_dropout")
def dropout(_tracer: Tracer, call: Call) -> Value:
    if call["train"]:
        raise call.obstacle("is random")
    return call.value("input" if "input" in call.given else "self")


@rule("cat")
def cat(tracer: Tracer, call: Call) -> Value:
    """Convert a concatenation along the channels; along other axes it is an obstacle."""
    parts = [_arranged(tracer, call, each) for each in call["tensors"]]
    values, axes = [value for value, _ in parts], parts[0][1]
    dim = call["dim"] % (len(axes) + 1) - 1
    if dim < 0 or axes[dim] != "c" or any(other != axes for _, other in parts):
        raise call.obstacle()
    if len({(value.sizes[1:], value.stride) for value in values}) > 1:
        raise call.obstacle()
    sizes = values[0].sizes._replace(c=sum(value.sizes.c for value in values))
    return tracer.add(lambda *x: torch.cat(x, 1), values, Layout.seen_as(sizes, axes))


def _arranged(tracer: Tracer, call: Call, value: object) -> tuple[Value, Axes]:
    if not isinstance(value, Value):
        raise call.obstacle()
    found = tracer.arranged(tracer.as_vector(value) or value)
    if found is None:
        raise call.obstacle()
    return found


def _called(call: Call, where: Tensor) -> Tensor:
    """Apply the operator of a call to a layout's indices in place of the values."""
    given = {**call.given, "self": where}
    result: Tensor = call.func(**given)
    return result


def _changed(call: Call, change: Callable[[Tensor], Tensor]) -> Value:
    value = call.value()
    layout = value.layout.changed(change)
    if layout is None:
        raise call.obstacle("mixes images")
    return Value(value.index, layout, value.stride)
