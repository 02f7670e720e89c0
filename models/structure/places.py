"""Where the images of a batch lie in what a module takes and gives.

Usually on the first axis, a row each. Where sequences come first, as in torch's own attention by
default, they lie on the second; where a network cuts images into windows, each has several rows.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from models.architectures import own_code
from models.architectures.own_code import FAILURES
from models.structure.axes import Shape

_SAME = 1e-3  # of the largest sum, by which one may differ with another image beside it


class Place(NamedTuple):
    """The axis that the images lie on; on the first, each may have several rows, its `parts`.

    Rows are image by image, or `interleaved`: the first part of each image, then the second.
    """

    axis: int = 0
    parts: int = 1
    interleaved: bool = False

    def arranged(self, values: Tensor) -> Tensor:
        """The values with the images on the first axis, and then their parts if there are any."""
        if self.parts == 1:
            return values.movedim(self.axis, 0)
        size = len(values) // self.parts
        if self.interleaved:
            return values.reshape(self.parts, size, *values.shape[1:]).movedim(1, 0)
        return values.reshape(size, self.parts, *values.shape[1:])

    def shape(self, batch: Shape) -> Shape:
        """The shape for one image, of the shape for a batch of one image."""
        if self.parts > 1:
            return batch
        return batch[: self.axis] + batch[self.axis + 1 :]


ROWS = Place()
"""A row for each image."""


class Call(NamedTuple):
    """Where the images lie in what a module takes and gives when it is called; None: nowhere."""

    taken: Place | None
    given: Place | None


Calls = Mapping[str, Sequence[Call]]  # of each module by name, in the order of its calls


def find(network: nn.Module, image: Tensor) -> Calls | None:
    """Where images lie in each call of each module; `image` (1, C, H, W) is of the input's shape.

    A module whose calls depend on the number of images has no entry. None if the network does not
    take two images. Raises what torch raises where there is not enough memory.
    """
    noise = torch.randn((2, *image.shape[1:]), generator=torch.Generator().manual_seed(0))
    both = noise.to(image)
    one = _seen(network, both[:1], _shape)
    try:
        two = _seen(network, both, _shape)
    except FAILURES as error:  # somebody's code may take one image alone
        if own_code.is_want_of_memory(error):
            raise
        return None
    calls = {
        name: [Call(*map(_place, *each)) for each in zip(found, two[name], strict=True)]
        for name, found in one.items()
        if len(found) == len(two[name])
    }
    divided = [name for name, each in calls.items() if any(map(_has_parts, each))]
    if divided:
        alone, beside = (_seen(network, batch, _sums, divided) for batch in (both[:1], both))
        for name in divided:
            sums = zip(calls[name], alone[name], beside[name], strict=True)
            calls[name] = [Call(*map(_in_order, *each)) for each in sums]
    return calls


def _seen(
    network: nn.Module,
    batch: Tensor,
    look: Callable[[Any], Any],
    names: Collection[str] | None = None,
) -> dict[str, list[tuple[Any, Any]]]:
    """What `look` makes of what the modules take and give, call by call."""
    found: dict[str, list[tuple[Any, Any]]] = defaultdict(list)

    def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, inputs: Any, output: Any) -> None:
            found[name].append((look(inputs), look(output)))

        return hook

    with ExitStack() as hooks:
        for name, module in network.named_modules():
            if name and (names is None or name in names):
                hooks.enter_context(module.register_forward_hook(keep(name)))
        network(batch)
    return found


def _tensor(value: Any) -> Tensor | None:
    """A tensor, or the first of several; None if that is none."""
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, Tensor) else None


def _shape(value: Any) -> Shape | None:
    found = _tensor(value)
    return None if found is None else tuple(found.shape)


def _sums(value: Any) -> Tensor | None:
    """Of each row the sum of its values, no two of which weigh the same: what tells rows apart."""
    found = _tensor(value)
    if found is None:
        return None
    rows = found.detach().flatten(1).float()
    return rows @ torch.linspace(1, 2, rows.shape[1], device=rows.device)


def _place(one: Shape | None, two: Shape | None) -> Place | None:
    """By the shapes for one image and for two: the only axis that is twice as long."""
    if one is None or two is None or len(one) != len(two):
        return None
    differing = [axis for axis, sizes in enumerate(zip(one, two, strict=True)) if len({*sizes}) > 1]
    if len(differing) != 1 or two[axis := differing[0]] != 2 * one[axis]:
        return None
    if axis > 0 and one[axis] > 1:
        return None
    return Place(axis, one[axis])


def _has_parts(call: Call) -> bool:
    return any(place is not None and place.parts > 1 for place in call)


def _in_order(place: Place | None, alone: Tensor | None, beside: Tensor | None) -> Place | None:
    """The place with the order of its rows, by their sums for an image alone and beside another."""
    if place is None or place.parts == 1 or alone is None or beside is None:
        return place
    bound = _SAME * float(alone.abs().max())
    for order in (place, place._replace(interleaved=True)):
        if torch.allclose(order.arranged(beside)[0], alone, rtol=0, atol=bound):
            return order
    return None
