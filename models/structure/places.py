"""The axis of a tensor that numbers the images of a batch.

Usually that is the first axis, one index for each image. Attention of torch numbers places of a
sequence first by default, and images second. A network that cuts images into windows has several
indices of the first axis for each image. The axis is measured: a batch of one image and a batch of
two go through the network, and the axis that doubles numbers the images.
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
    """The axis of a tensor that numbers the images, and how many indices each image has there.

    Only on the first axis may an image have several indices, its `parts`. They follow each other,
    or are `interleaved`: first the first part of every image, then the second part of every image.
    """

    axis: int = 0
    parts: int = 1
    interleaved: bool = False

    def arranged(self, values: Tensor) -> Tensor:
        """Return the values in the shape (images, …), or (images, parts, …) if there are parts."""
        if self.parts == 1:
            return values.movedim(self.axis, 0)
        size = len(values) // self.parts
        if self.interleaved:
            return values.reshape(self.parts, size, *values.shape[1:]).movedim(1, 0)
        return values.reshape(size, self.parts, *values.shape[1:])

    def shape(self, batch_of_one: Shape) -> Shape:
        """Return the shape of one image's values, given that of a batch that holds one image."""
        if self.parts > 1:
            return batch_of_one
        return batch_of_one[: self.axis] + batch_of_one[self.axis + 1 :]


ROWS = Place()
"""The usual place: the first axis, one index for each image."""


class Call(NamedTuple):
    """One call of a module: the places of the images in its input and in its output.

    A place is None where the images can't be told apart.
    """

    taken: Place | None
    given: Place | None


Calls = Mapping[str, Sequence[Call]]  # of each module by name, in the order of its calls


def find(network: nn.Module, image: Tensor) -> Calls | None:
    """Measure the places of the images in every call of every module.

    `image` is a batch of one, (1, C, H, W), which sets shape, type and device. A module whose
    number of calls depends on the number of images has no entry. Returns None if the network does
    not take two images. Raises what torch raises where there is not enough memory.
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
    """Run the network; return (look(inputs), look(output)) of each call of each module."""
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
    """The tensor itself, or the first of a tuple; None for anything else."""
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, Tensor) else None


def _shape(value: Any) -> Shape | None:
    found = _tensor(value)
    return None if found is None else tuple(found.shape)


def _sums(value: Any) -> Tensor | None:
    """Return a weighted sum for each index of the first axis, to compare values by.

    Comparing sums needs far less memory than keeping copies of every output.
    """
    found = _tensor(value)
    if found is None:
        return None
    rows = found.detach().flatten(1).float()
    return rows @ torch.linspace(1, 2, rows.shape[1], device=rows.device)


def _place(one: Shape | None, two: Shape | None) -> Place | None:
    """Return the place, given a tensor's shape with one image and with two; None if no axis
    doubles."""
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
    """Decide whether parts follow each other or are interleaved; None if neither fits.

    `alone` are the sums of an image's parts when it is the whole batch, `beside` those of a batch
    in which another image follows it.
    """
    if place is None or place.parts == 1 or alone is None or beside is None:
        return place
    bound = _SAME * float(alone.abs().max())
    for order in (place, place._replace(interleaved=True)):
        if torch.allclose(order.arranged(beside)[0], alone, rtol=0, atol=bound):
            return order
    return None
