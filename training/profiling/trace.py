"""Trace of a training step: its operators → the bytes that each call of a layer reads and writes.

    operator → Call (of a layer, or of one operator between layers) → Value (a tensor as written)

A call reads each tensor from outside once, and writes each tensor that others will read once,
however the kernel computes it. Tensors that a call makes and uses up itself move nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node

from models.structure.multiply_adds import MultiplyAdds

_Hook = Callable[..., None]


_Parts = dict[tuple[int, int], int]
"""Parts of a storage: (offset in elements, length in bytes) → bytes."""


@dataclass(eq=False)
class Value:
    """A tensor as a call has written it; `call` is None for what lies in memory before the step.

    `capacity` is the size of its storage and `written` that of the tensor, in bytes. `needed` are
    the parts that other calls read, or that outlast the step.
    """

    capacity: int
    written: int = 0
    call: "Call | None" = None
    needed: _Parts = field(default_factory=dict)


@dataclass(eq=False)
class Call:
    """One call of a layer in one pass, or one operator between layers."""

    layer: str | None
    """The name of the layer; None for an operator between layers."""
    is_backward: bool
    operator: str | None = None
    """The name of an operator between layers; None for a layer."""
    multiply_adds: int = 0
    _taken: dict[Value, _Parts] = field(default_factory=dict)
    _made: list[Value] = field(default_factory=list)

    @property
    def read(self) -> int:
        """Bytes that the call reads."""
        return sum(min(sum(parts.values()), each.capacity) for each, parts in self._taken.items())

    @property
    def written(self) -> int:
        """Bytes that the call writes."""
        return sum(min(sum(each.needed.values()), each.written) for each in self._made)

    def take(self, value: Value, tensor: Tensor) -> None:
        if value.call is not self:
            part = _part(tensor)
            value.needed |= part
            self._taken.setdefault(value, {}).update(part)

    def make(self, tensor: Tensor) -> Value:
        value = Value(tensor.untyped_storage().nbytes(), tensor.nbytes, self)
        self._made.append(value)
        return value


class Trace(MultiplyAdds):
    """A recorder, as `calls`, of the operators that the thread runs inside the `with` block.

    `forward_hooks` mark where layers begin and end. The nodes of the backward pass belong to the
    layer in whose forward pass autograd has made them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.is_backward = False
        self._running: list[Call] = []
        self._values: dict[int, Value] = {}  # by the address of the storage
        self._storages: list[torch.UntypedStorage] = []  # held, so that no address is used again
        self._nodes: set[Node] = set()  # whose layer is known

    def forward_hooks(self, layer: str) -> tuple[_Hook, _Hook]:
        """Hooks for before (with keyword arguments) and after each call of a layer."""

        def before(_module: Any, *inputs: Any) -> None:
            self._claim(inputs, None)
            self._start(Call(layer, is_backward=False))

        def after(_module: Any, _inputs: Any, output: Any) -> None:
            self._running.pop()
            self._claim(output, Call(layer, is_backward=True))

        return before, after

    def keep(self, results: Any) -> None:
        """Count these tensors as written, although no call reads them."""
        for tensor in tensors(results):
            self._value(tensor).needed |= _part(tensor)

    def computed(
        self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any
    ) -> None:
        before = self.total
        super().computed(func, args, kwargs, result)
        operands = list(_operands(func, args, kwargs))
        known = {_address(each.tensor) for each in operands}
        made = [tensor for tensor in tensors(result) if _address(tensor) not in known]
        made += [each.tensor for each in operands if each.is_written]
        if not made:  # a view
            return
        if not self._running:
            name = func.overloadpacket.__name__.strip("_")
            call = Call(None, self.is_backward, name)
            self.calls.append(call)
        else:
            call = self._running[-1]
        call.multiply_adds += self.total - before
        for each in operands:
            if each.is_read:
                call.take(self._value(each.tensor), each.tensor)
        for tensor in made:
            self._hold(tensor, call.make(tensor))

    def _start(self, call: Call) -> None:
        if call not in self.calls:
            self.calls.append(call)
        self._running.append(call)

    def _claim(self, outputs: Any, call: Call | None) -> None:
        """Assign the autograd nodes behind the outputs to the call, except those claimed before.

        With None the nodes are claimed for no call.
        """
        nodes = [each.grad_fn for each in tensors(outputs) if each.grad_fn is not None]
        while nodes:
            node = nodes.pop()
            if node in self._nodes:
                continue
            self._nodes.add(node)
            nodes += [each for each, _ in node.next_functions if each is not None]
            if call is not None and not hasattr(node, "variable"):  # which stands for a parameter
                self._follow(node, call)

    def _follow(self, node: Node, call: Call) -> None:
        def before(_gradients: Any) -> None:
            self._start(call)

        def after(_gradients: Any, _outputs: Any) -> None:
            self._running.pop()

        node.register_prehook(before)
        node.register_hook(after)

    def _value(self, tensor: Tensor) -> Value:
        if _address(tensor) not in self._values:
            self._hold(tensor, Value(tensor.untyped_storage().nbytes()))
        return self._values[_address(tensor)]

    def _hold(self, tensor: Tensor, value: Value) -> None:
        self._storages.append(tensor.untyped_storage())
        self._values[_address(tensor)] = value


def tensors(values: Any) -> Iterator[Tensor]:
    """Yield the tensors among values, also inside of lists, tuples and dicts."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, list | tuple):
        for each in values:
            yield from tensors(each)
    elif isinstance(values, Mapping):
        yield from tensors(list(values.values()))


@dataclass(frozen=True)
class _Operand:
    tensor: Tensor
    is_read: bool
    is_written: bool


def _operands(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[_Operand]:
    unread = _unread(func.overloadpacket, args)
    for number, argument in enumerate(func._schema.arguments):
        value = args[number] if number < len(args) else kwargs.get(argument.name)
        is_written = argument.alias_info is not None and argument.alias_info.is_write
        for tensor in tensors(value):
            yield _Operand(tensor, number not in unread, is_written)


_aten = torch.ops.aten
_UNREAD: dict[Any, tuple[int, ...]] = {
    **dict.fromkeys((_aten.copy_, _aten.fill_, _aten.zero_), (0,)),  # are only written
    # whose shape alone is read
    _aten.max_pool2d_with_indices_backward: (1,),
    _aten.adaptive_max_pool2d_backward: (1,),
    _aten.avg_pool2d_backward: (1,),
    _aten._adaptive_avg_pool2d_backward: (1,),
}
_OF_SHAPE = ("new_empty", "new_full", "new_ones", "new_zeros")  # and what ends with _like


def _unread(operator: Any, args: Sequence[Any]) -> tuple[int, ...]:
    """Return the positions of the operands whose values the operator does not read."""
    if operator is _aten.convolution_backward:
        of_input, of_weight, _of_bias = args[10]
        return (() if of_weight else (1,)) + (() if of_input else (2,))
    name = operator.__name__
    if name.endswith("_like") or name in _OF_SHAPE:
        return (0,)
    return _UNREAD.get(operator, ())


def _part(tensor: Tensor) -> _Parts:
    """Return the part of its storage that a tensor takes.

    A tensor and its transpose are the same part. An expanded tensor may be longer than its storage.
    """
    return {(int(tensor.storage_offset()), tensor.nbytes): tensor.nbytes}


def _address(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
