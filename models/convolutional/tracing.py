"""A forward pass → the steps of its fully convolutional form.

The network runs once, unchanged, on a batch of its input's own size. Each operator of torch that it
calls between the image and the logits becomes a step that works on maps of any size: by the rule of
that operator (`models.convolutional.rules`), or unchanged if it is elementwise. No source code is
read: whatever Python does between the operators is followed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_any, tree_leaves, tree_map
from torch.utils.weak import WeakTensorKeyDictionary

from models.convolutional.errors import NotConvolutionalError
from models.convolutional.layout import MAPS, Axes, Layout, Sizes, is_range
from models.dispatch import DispatchMode

Stride = tuple[int, int]


class Step(NamedTuple):
    """One operator of the form: maps (N, C, H, W) of earlier steps → maps.

    `inputs` are the numbers of the values that it takes; value 0 is the image, and step i gives
    value i + 1. `sizes` are the sizes of its output for an image of the input's own size. `stride`
    is the distance between neighbouring rows and columns of the output, in pixels of the image.
    `multiply_adds` are for one place.
    """

    run: Callable[..., Tensor]
    inputs: tuple[int, ...]
    sizes: Sizes
    stride: Stride
    multiply_adds: int


@dataclass(frozen=True)
class Value:
    """An intermediate result: the number of its maps, and their layout for the network."""

    index: int
    layout: Layout
    stride: Stride

    @property
    def sizes(self) -> Sizes:
        return self.layout.sizes


@dataclass(frozen=True)
class Call:
    """One call of an operator. `given` are its arguments by name, with a `Value` for each tensor
    that depends on the image. `result` is what it returned for a batch of two."""

    func: Any
    given: Mapping[str, Any]
    result: Any

    @property
    def name(self) -> str:
        """The usual name of the operator: `relu` also for the in-place `relu_`."""
        name: str = self.func.overloadpacket.__name__
        return name.strip("_")

    def __getitem__(self, name: str) -> Any:
        return self.given[name]

    def value(self, name: str = "self") -> Value:
        """Return an argument that must depend on the image; else raise `NotConvolutionalError`."""
        found = self.given[name]
        if not isinstance(found, Value):
            raise self.obstacle()
        return found

    def constant(self, name: str) -> Any:
        """Return an argument that must not depend on the image; raise `NotConvolutionalError` if it
        does."""
        found = self.given[name]
        if tree_any(lambda each: isinstance(each, Value), found):
            raise self.obstacle()
        return found

    @property
    def output(self) -> Sizes:
        """The sizes of the maps that the call returned."""
        first = self.result[0] if isinstance(self.result, tuple | list) else self.result
        return Sizes(*first.shape[1:])

    def obstacle(self, why: str = "does not slide over an image") -> NotConvolutionalError:
        """Make the error that names this operator."""
        shapes = [
            " × ".join(map(str, each.layout.where.shape))
            for each in tree_leaves(dict(self.given))
            if isinstance(each, Value)
        ]
        of = f" of {' and '.join(shapes)}" if shapes else ""
        return NotConvolutionalError(f"a fully convolutional form ({self.name}{of} {why})")


Rule = Callable[["Tracer", Call], "Value | Sequence[Value]"]


class Tracer(DispatchMode):
    """A mode that records the steps by which the thread computes values from the image."""

    def __init__(self, rule_of: Callable[[Any], Rule | None], image: Tensor) -> None:
        self._rule_of = rule_of
        self.steps: list[Step] = []
        self._values: Any = WeakTensorKeyDictionary()
        _, channels, height, width = image.shape
        self._values[image] = Value(0, Layout(Sizes(channels, height, width)), (1, 1))

    def value(self, tensor: Any) -> Value | None:
        """Return the `Value` of a tensor; None if the tensor does not depend on the image."""
        return self._values.get(tensor) if isinstance(tensor, Tensor) else None

    def run(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        given = tree_map(lambda each: self.value(each) or each, _by_name(func, args, kwargs))
        if not tree_any(lambda each: isinstance(each, Value), given):
            return func(*args, **kwargs)
        rule = self._rule_of(func)
        if rule is None:
            with self:
                result = func.decompose(*args, **kwargs)
            if result is NotImplemented:
                raise Call(func, given, None).obstacle()
            return result
        result = func(*args, **kwargs)
        found = rule(self, Call(func, given, result))
        if isinstance(found, Value):
            first = result[0] if isinstance(result, tuple | list) else result
            self._values[first] = found
        else:
            for tensor, value in zip(result, found, strict=True):
                self._values[tensor] = value
        return result

    def add(
        self,
        run: Callable[..., Tensor],
        inputs: Sequence[Value],
        layout: Layout,
        stride: Stride | None = None,
        multiply_adds: int = 0,
    ) -> Value:
        """Add a step and return its output. The default stride is that of its first input."""
        stride = stride or inputs[0].stride
        indices = tuple(each.index for each in inputs)
        self.steps.append(Step(run, indices, layout.sizes, stride, multiply_adds))
        return Value(len(self.steps), layout, stride)

    def arranged(self, value: Value) -> tuple[Value, Axes] | None:
        """Return the value with maps that hold just what the network sees of them, and its axes.

        A step is added if the network has cut a part out, or reordered elements along one axis.
        None if an axis that the network sees runs along several axes of the maps.
        """
        lines = value.layout.lines
        if lines is None:
            return None
        if lines.is_whole(value.sizes):
            return value, lines.axes
        channels, rows, columns = lines.along
        if not is_range(channels, value.sizes.c):
            sizes = value.sizes._replace(c=len(channels))
            value = self.add(_chosen(channels), [value], Layout(sizes))
        down, across = _part(rows, value.sizes.h), _part(columns, value.sizes.w)
        if down is None or across is None:
            return None
        if not (is_range(rows, value.sizes.h) and is_range(columns, value.sizes.w)):
            stride = value.stride[0] * down.step, value.stride[1] * across.step
            sizes = value.sizes._replace(h=len(rows), w=len(columns))
            value = self.add(_cut(down, across), [value], Layout(sizes), stride)
        return Value(value.index, Layout.seen_as(value.sizes, lines.axes), value.stride), lines.axes

    def as_maps(self, value: Value) -> Value | None:
        """Return the value as maps if the network sees (C, H, W); else None."""
        found = self.arranged(value)
        if found is None or found[1] != MAPS:
            return None
        return found[0]

    def as_vector(self, value: Value) -> Value | None:
        """Return the value with one place and a channel for each element, if the network sees one
        axis.

        Else None. Maps that the network has flattened are cut into windows, one for each place of
        the output.
        """
        layout = value.layout
        if not layout.is_flat:
            return None
        if not layout.sizes.is_vector:
            _, height, width = layout.sizes
            whole = Layout(Sizes(layout.sizes.numel, 1, 1), layout.where)
            value = self.add(_windows(height, width), [value], whole)
        found = self.arranged(value)
        return None if found is None else found[0]


class _Part(NamedTuple):
    """The rows, or columns, that a layer passes on: a slice with `start` and `step` that leaves out
    the last `after`."""

    start: int
    step: int
    after: int


def _part(positions: Tensor, size: int) -> _Part | None:
    """Return the slice of a side that selects these positions; None if they are not evenly spaced.

    None too for a single position of several, since a larger map does not tell which it would be.
    """
    if len(positions) == 1 and size > 1:
        return None  # one row of a map: which of a larger one?
    step = int(positions[1] - positions[0]) if len(positions) > 1 else 1
    start, end = int(positions[0]), int(positions[-1])
    if step < 1 or not torch.equal(positions, torch.arange(start, end + 1, step)):
        return None
    return _Part(start, step, size - 1 - end)


def _chosen(channels: Tensor) -> Callable[[Tensor], Tensor]:
    first, count = int(channels[0]), len(channels)
    if is_range(channels - first, count):
        return lambda x: x.narrow(1, first, count)
    return lambda x: x.index_select(1, channels.to(x.device))


def _cut(down: _Part, across: _Part) -> Callable[[Tensor], Tensor]:
    def run(x: Tensor) -> Tensor:
        bottom, right = x.shape[2] - down.after, x.shape[3] - across.after
        return x[:, :, down.start : bottom : down.step, across.start : right : across.step]

    return run


def _windows(height: int, width: int) -> Callable[[Tensor], Tensor]:
    """Return a function from maps (N, C, H, W) to windows (N, C · height · width, H', W')."""

    def run(x: Tensor) -> Tensor:
        rows, columns = x.shape[2] - height + 1, x.shape[3] - width + 1
        windows = torch.nn.functional.unfold(x, (height, width))  # (N, C · h · w, H' · W')
        return windows.reshape(*windows.shape[:2], rows, columns)

    return run


def _by_name(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return all arguments of a call of the operator `func` by name, with its defaults."""
    given = {}
    for place, argument in enumerate(func._schema.arguments):
        if place < len(args):
            given[argument.name] = args[place]
        elif argument.name in kwargs:
            given[argument.name] = kwargs[argument.name]
        else:
            given[argument.name] = argument.default_value if argument.has_default_value() else None
    return given
