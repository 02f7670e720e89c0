"""The structure of a network, read from a forward pass: layers, blocks, operators between them."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from models.architectures.own_code import FAILURES
from models.convolutional.errors import NotConvolutionalError
from models.convolutional.form import Form, form_of
from models.convolutional.windows import Windows
from models.features import PENULTIMATE, Layer, OpaqueNetwork, embedding_layer, first, maps
from models.structure import places, whole_image
from models.structure.axes import Axes, AxesReader, Shape
from models.structure.multiply_adds import MultiplyAdds
from models.structure.places import ROWS, Call, Place

_WINDOWS = 16  # that run at once
_WINDOW_VALUES = 2**24  # of the largest layer of these, 64 MiB
_IDLE = (nn.Identity, nn.modules.dropout._DropoutNd)


@dataclass(frozen=True)
class Structure:
    """The layers and blocks that a forward pass goes through, in its order.

    `blocks` are modules that call others, in the order in which they end. `whole` is the name of
    the layer or block whose maps show best what the network saw (see
    `models.structure.whole_image`), or None. `is_partial` is True if no module holds the whole
    image, so that `whole` is the last convolution. `between` are torch's operators that are called
    outside of layers. `mixed` are modules that are left out, since their output can't be divided
    among the images of a batch.

    `form` is the fully convolutional form, with the network's own weights. If there is none,
    `lacks` says what it would need, and `form` runs a network with a convolution on each window by
    itself.
    """

    layers: tuple[Layer, ...]
    blocks: tuple[Layer, ...] = ()
    whole: str | None = None
    is_partial: bool = False
    between: tuple[str, ...] = ()
    mixed: tuple[str, ...] = ()
    form: Form | Windows | None = None
    lacks: str | None = None

    @property
    def unseen(self) -> list[str]:
        """Sentences for people about what no layer shows."""
        found = []
        if self.between:
            operators = ", ".join(self.between)
            found.append(f"Called outside of layers, so that no layer shows it: {operators}.")
        if self.mixed:
            found.append(
                f"Left out, since it mixes the images of a batch: {', '.join(self.mixed)}."
            )
        return found

    @property
    def windowed(self) -> list[str]:
        """A sentence for people if a class map takes the network on each window by itself."""
        if not isinstance(self.form, Windows):
            return []
        return [
            "The network ran on the window of each place alone, which takes longer: a class map at "
            f"once needs {self.lacks}."
        ]

    def outputs(self) -> dict[str, Layer]:
        """Return all that `capture` can record, by name; `PENULTIMATE` as a layer of values."""
        found = {each.name: each for each in (*self.layers, *self.blocks)}
        embedding_of = embedding_layer(self.layers)
        for each in self.layers:
            if each.name == embedding_of:
                width = math.prod(each.input_shape)
                found.setdefault(
                    PENULTIMATE, Layer(PENULTIMATE, "", (width,), 0, 0, axes=("value",))
                )
        return found


@torch.inference_mode()
def read(network: nn.Module, batch: Tensor) -> Structure:
    """Run the batch through a network in evaluation mode, and return the network's structure.

    Layers that do nothing in evaluation (dropout, identity) are left out.
    """
    if isinstance(network, OpaqueNetwork):
        total = sum(layer.multiply_adds for layer in network.layers)
        return Structure(
            network.layers, **_form(network, batch, network.layers, total, network.batch_size)
        )
    modules = {name: module for name, module in network.named_modules() if name}
    operators = _Operators()
    found = places.find(network, batch[:1])
    trace = _Trace(operators, tuple(batch.shape[1:]), found)
    with operators, ExitStack() as hooks:
        for name, module in modules.items():
            hooks.enter_context(module.register_forward_pre_hook(trace.enter(name)))
            hooks.enter_context(module.register_forward_hook(trace.leave(name)))
        network(batch)
    layers: list[Layer] = []
    blocks: list[Layer] = []
    for name, shape in trace.shapes.items():
        module, is_block = modules[name], name in trace.callers
        if isinstance(module, _IDLE) or name in trace.mixed:
            continue
        before = layers[-1] if layers else None
        taken = trace.input_shapes[name]
        layer = Layer(
            name=name,
            type=type(module).__name__,
            output_shape=shape,
            parameters=sum(p.numel() for p in module.parameters()),
            multiply_adds=trace.multiply_adds[name] // len(batch),
            input_shape=taken,
            arguments=_arguments(module),
            kernels=None if is_block else _kernels(module, taken, before, tuple(batch.shape[1:])),
            axes=trace.axes[name],
            maps=trace.maps[name],
            calls=trace.calls[name],
            given=trace.given[name],
            taken=trace.taken[name],
        )
        (blocks if is_block else layers).append(layer)
    whole, is_partial = _whole(network, batch, layers, [*layers, *blocks], list(trace.shapes))
    between = [name for place, name in operators.called if place in ("", *trace.callers)]
    return Structure(
        tuple(layers),
        tuple(blocks),
        whole,
        is_partial,
        tuple(dict.fromkeys(between)),
        tuple(name for name in trace.mixed if not isinstance(modules[name], _IDLE)),
        **_form(network, batch, layers, operators.total // len(batch), None if found else 1),
    )


def layers(network: nn.Module, batch: Tensor) -> list[Layer]:
    """Return the layers that `read` finds, in the order in which a forward pass reaches them."""
    return list(read(network, batch).layers)


def _form(
    network: nn.Module,
    batch: Tensor,
    layers: Sequence[Layer],
    multiply_adds: int,
    batch_size: int | None,
) -> dict[str, Any]:
    """Return `Structure.form` and `Structure.lacks`, as far as they are not None.

    `multiply_adds` are for one image. `batch_size` is the only one that the network takes, None for
    any.
    """
    try:
        return {"form": form_of(network, batch[:1])}
    except torch.OutOfMemoryError:
        raise
    except NotConvolutionalError as error:
        lacks = str(error)
    except FAILURES:  # somebody's code may take one image alone, or call what can't be followed
        lacks = "a forward pass that takes two images, and that can be followed"
    answer = first(network(batch[:1].clone()))
    has_convolution = any(each.is_convolution for each in layers)
    if not has_convolution or not isinstance(answer, Tensor) or answer.dim() != 2:
        return {"lacks": lacks}
    values = max(math.prod(each.output_shape) for each in layers)
    windows = Windows(
        network,
        (batch.shape[2], batch.shape[3]),
        answer.shape[1],
        multiply_adds,
        batch_size or max(1, min(_WINDOWS, _WINDOW_VALUES // max(1, values))),
        batch_size is not None and batch_size > 1,
    )
    return {"form": windows, "lacks": lacks}


def _whole(
    network: nn.Module,
    batch: Tensor,
    layers: Sequence[Layer],
    outputs: Sequence[Layer],
    ended: Sequence[str],
) -> tuple[str | None, bool]:
    """Return `Structure.whole` and `Structure.is_partial`.

    `outputs` are layers and blocks, `ended` their names in the order in which they end. Candidates
    have maps of the height and width of the last layer with maps and parameters, since only pooling
    follows it.
    """
    last = next((x for x in reversed(layers) if x.maps and x.parameters), None)
    if last is None or last.maps is None:
        return None, False
    usual = next((x.name for x in reversed(layers) if x.maps and x.is_convolution), None)
    if sum(math.prod(each.output_shape) for each in layers) > whole_image.MAX_VALUES:
        return usual, False  # not looked at
    candidates = [
        whole_image.Candidate(each.name, partial(_maps, each))
        for each in sorted(outputs, key=lambda each: ended.index(each.name))
        if each.parameters and each.maps is not None and each.maps[1:] == last.maps[1:]
    ]
    found = whole_image.find(network, (1, *batch.shape[1:]), candidates)
    return (found, False) if found is not None else (usual, usual is not None)


def _maps(layer: Layer, given: Tensor) -> Tensor:
    """Arrange the output of a layer as maps (N, C, H, W)."""
    return maps(layer, layer.given.arranged(given))


def _arguments(module: nn.Module) -> dict[str, Any]:
    """Return the values that torch lists as the module's constants, if JSON can express them."""
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
    """Return `Layer.kernels` of a module; `before` is the layer before it, if there is one."""
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


_SILENT = frozenset(  # operators that compute nothing, or only where values lie
    (
        *("alias", "as_strided", "clone", "contiguous", "copy_", "detach", "expand", "lift_fresh"),
        *("permute", "reshape", "select", "slice", "split", "squeeze", "t", "transpose", "unbind"),
        *("unsqueeze", "unsafe_split", "view", "_to_copy", "_unsafe_view", "_reshape_alias"),
        *("chunk", "dropout", "empty", "expand_as", "fill_", "flatten", "new_zeros", "ones"),
        *("unflatten", "zero_", "zeros"),
    )
)


class _Operators(MultiplyAdds):
    """A counter of multiply-adds that also records which operators are called in which module."""

    def __init__(self) -> None:
        super().__init__()
        self.place = ""  # the module that runs, empty for the network itself
        self.called: dict[tuple[str, str], None] = {}  # place, name

    def run(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        name = func.overloadpacket.__name__
        if name not in _SILENT:
            self.called[self.place, name.strip("_")] = None
        return super().run(func, args, kwargs)


class _Trace:
    """A record of one forward pass: the outputs of its modules, and which modules call others."""

    def __init__(self, operators: _Operators, image: Shape, calls: places.Calls | None) -> None:
        self.shapes: dict[str, Shape] = {}  # of the outputs
        self.input_shapes: dict[str, Shape] = {}
        self.axes: dict[str, Axes] = {}
        self.maps: dict[str, tuple[int, int, int] | None] = {}
        self.calls: Counter[str] = Counter()
        self.multiply_adds: Counter[str] = Counter()  # of the batch, over all calls
        self.callers: set[str] = set()
        self.given: dict[str, Place] = {}
        self.taken: dict[str, Place | None] = {}
        self.mixed: dict[str, None] = {}
        self._places = calls
        self._operators = operators
        self._reader = AxesReader(image)
        self._running: list[str] = []

    def _call(self, name: str) -> Call:
        """Return the places of the images in the module's current call (see `places.find`).

        Without a measurement, because the network takes one image only, they are the usual ones.
        """
        if self._places is None:
            return Call(ROWS, ROWS)
        calls = self._places.get(name, ())
        number = self.calls[name]
        return calls[number] if number < len(calls) else Call(None, None)

    def enter(self, name: str) -> Callable[[nn.Module, Any], None]:
        def hook(_module: nn.Module, inputs: Any) -> None:
            taken, place = first(inputs) if inputs else None, self._call(name).taken
            self.taken[name] = place
            self.input_shapes[name] = ()
            if isinstance(taken, Tensor) and place is not None:
                self.input_shapes[name] = place.shape(tuple(taken.shape))
            self.callers.update(self._running[-1:])
            self._running.append(name)
            self._operators.place = name
            self.multiply_adds[name] -= self._operators.total

        return hook

    def leave(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, _inputs: Any, output: Any) -> None:
            self._running.pop()
            self._operators.place = self._running[-1] if self._running else ""
            place = self._call(name).given
            self.calls[name] += 1
            self.multiply_adds[name] += self._operators.total
            if isinstance(output := first(output), Tensor):
                if place is None:
                    self.mixed[name] = None
                    return
                shape = place.shape(tuple(output.shape))
                self.given[name] = place
                order, taken = getattr(module, "dims", None), self.input_shapes[name]
                kind = type(module).__name__
                self.shapes[name] = shape
                if place.parts > 1:
                    self.axes[name], self.maps[name] = self._reader.of_parts(kind, shape), None
                    return
                self.axes[name] = axes = self._reader.axes(kind, order, taken, shape)
                self.maps[name] = self._reader.maps(axes, shape)

        return hook
