"""The receptive field of a layer: the box of image pixels that one value of its output depends on.

The box is measured: the value in the middle of the layer's maps is differentiated with respect to
the image's pixels, and the box is drawn around those pixels whose gradient is not 0.

The field of a network without branches follows from kernels and strides (Araujo et al. 2019,
Computing Receptive Fields of Convolutional Neural Networks). The gradient gives it for any network:
residual ones, attention, windows. The weights, and which units are active, must not matter: so the
pass averages (`models.structure.averaging`). Statistics of a normalisation over the whole image
don't count, nor do gates by which squeeze-and-excitation scales whole maps.
"""

import math
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from models.architectures import own_code
from models.architectures.own_code import FAILURES
from models.features import PENULTIMATE, Layer, OpaqueNetwork, embedding_layer, first, maps
from models.structure.averaging import Averaging

MAX_VALUES = 2**28  # of all layers, 4 bytes each, that are kept for the gradients
Level = Literal["low", "middle", "high"]
LOW, MIDDLE = 1 / 4, 1 / 2
"""Shares of the image's side. Below the first, a layer sees less than a sixteenth of the image,
such as an edge, a stroke or a texture: its level is low. Up to the second it sees a quarter of
the image, parts of a thing: a middle level. Above that it sees most of what fills the image."""


@dataclass(frozen=True)
class ReceptiveField:
    """The box of pixels that a value in the middle of a layer's output depends on.

    `height` and `width` are its sides, cut off at the border of the `image`, (H, W). `jump` is the
    distance in pixels (down, across) to the box of the next value. It is None if the output is not
    a map, or if the next box is cut off.
    """

    height: int
    width: int
    image: tuple[int, int]
    jump: tuple[int, int] | None = None

    @property
    def level(self) -> Level:
        """The level for the longer of the box's sides, each as a share of the image's."""
        share = max(self.height / self.image[0], self.width / self.image[1])
        return "low" if share < LOW else "middle" if share <= MIDDLE else "high"

    def __str__(self) -> str:
        return f"{self.height}×{self.width} pixels of {self.image[0]}×{self.image[1]}"


def measure(
    network: nn.Module, image: tuple[int, int, int], outputs: Sequence[Layer]
) -> dict[str, ReceptiveField]:
    """Measure the receptive fields of layers and blocks, for images (C, H, W), by name.

    Empty for networks that can't be differentiated, or whose layers give more than `MAX_VALUES`;
    without the `jump` from half of that on. A layer without a path from the image is left out. The
    network must be in evaluation mode, and hooks that it has see the passes. Raises whatever torch
    raises where there is not enough memory.
    """
    by_name = {each.name: each for each in outputs if each.name != PENULTIMATE}
    values = sum(
        math.prod(each.output_shape)
        for name, each in by_name.items()
        if not any(other.startswith(f"{name}.") for other in by_name)  # a block is its layers
    )
    if isinstance(network, OpaqueNetwork) or values > MAX_VALUES:
        return {}
    images = 2 if 2 * values <= MAX_VALUES else 1
    device = next((each.device for each in network.parameters()), torch.device("cpu"))
    with torch.inference_mode(False), torch.enable_grad():
        noise = torch.rand(images, *image, generator=torch.Generator().manual_seed(0))
        batch = noise.to(device).requires_grad_()
        try:
            picked = _picked(network, batch, by_name)
            found = _fields(batch, picked)
        except FAILURES as error:  # what somebody's code does may need numbers without a gradient
            if own_code.is_want_of_memory(error):
                raise
            return {}
    last = embedding_layer(outputs)
    if last in found and any(each.name == PENULTIMATE for each in outputs):
        found[PENULTIMATE] = found[last]  # a linear layer sees what it takes
    return found


@dataclass(frozen=True)
class _Picked:
    """A weighted sum of an output's values, which is differentiated with respect to the image.

    Of maps, the sum takes the position in the middle for the first image, and the next one down and
    across for the second image, if there is one. `node` is the output's node in the autograd graph.
    """

    total: Tensor
    node: Any
    is_map: bool


def _picked(network: nn.Module, batch: Tensor, layers: Mapping[str, Layer]) -> dict[str, _Picked]:
    found: dict[str, _Picked] = {}

    def keep(layer: Layer) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            given = first(output)
            if not isinstance(given, Tensor) or given.grad_fn is None:
                return
            arranged = layer.given.arranged(given)
            if layer.maps is None or len(arranged) != len(batch):
                found[layer.name] = _Picked(_weighted(given), given.grad_fn, False)
                return
            found_maps = maps(layer, arranged)  # (2, C, H, W), or (1, C, H, W)
            _, height, width = layer.maps
            row, column = (height - 1) // 2, (width - 1) // 2
            next_row, next_column = min(row + 1, height - 1), min(column + 1, width - 1)
            total = _weighted(found_maps[0, :, row, column])
            if len(found_maps) > 1:
                total = total + _weighted(found_maps[1, :, next_row, next_column])
            found[layer.name] = _Picked(total, given.grad_fn, True)

        return hook

    with ExitStack() as hooks:
        for name, layer in layers.items():
            hooks.enter_context(network.get_submodule(name).register_forward_hook(keep(layer)))
        with Averaging():
            network(batch * 1)  # a network may change its input in place
    return found


def _weighted(values: Tensor) -> Tensor:
    """Return a sum in which no two values have the same weight, so that they don't cancel out."""
    flat = values.flatten()
    weights = torch.linspace(1, 2, flat.numel(), device=flat.device, dtype=flat.dtype)
    return (flat * weights).sum()


def _fields(batch: Tensor, picked: Mapping[str, _Picked]) -> dict[str, ReceptiveField]:
    """Compute the receptive fields from gradients, which cost most. They are computed once for
    layers that share a node, and not for layers behind one that sees the whole image."""
    found: dict[str, ReceptiveField] = {}
    measured: dict[object, ReceptiveField | None] = {}
    whole: set[object] = set()
    image = (batch.shape[2], batch.shape[3])
    for name, each in picked.items():
        key = (each.node, each.is_map)
        if key not in measured and _follows(each.node, whole):
            measured[key] = ReceptiveField(*image, image)
        if key not in measured:
            [gradient] = torch.autograd.grad(
                each.total, batch, retain_graph=True, materialize_grads=True
            )
            measured[key] = _field(gradient, is_map=each.is_map)
        field = measured[key]
        if field is not None:
            found[name] = field
            if (field.height, field.width) == image:
                whole.add(each.node)
    return found


def _follows(node: Any, others: Container[object]) -> bool:
    """Return whether a path in the autograd graph from the node to the image crosses `others`."""
    waiting, seen = [node], {node}
    while waiting:
        each = waiting.pop()
        if each in others:
            return True
        before = [way for way, _ in each.next_functions if way is not None and way not in seen]
        seen.update(before)
        waiting += before
    return False


def _field(gradient: Tensor, *, is_map: bool) -> ReceptiveField | None:
    """Return the box of the first image's pixels (N, C, H, W) with a gradient; None if none has
    any."""
    strength = gradient.abs().sum(1)  # (N, H, W)
    first_box, *other = ((_ends(each.sum(1)), _ends(each.sum(0))) for each in strength)
    rows, columns = first_box
    if rows is None or columns is None:
        return None
    image = (gradient.shape[2], gradient.shape[3])
    jump = None
    if is_map and other:
        down, across = map(_step, first_box, other[0], image)
        jump = None if down is None or across is None else (down, across)
    return ReceptiveField(rows[1] - rows[0] + 1, columns[1] - columns[0] + 1, image, jump)


def _ends(strength: Tensor) -> tuple[int, int] | None:
    """Return the first and the last index of (N,) whose value is not 0; None if all are.

    Numbers too small for full precision count as 0: masks of attention leave exp(-100).
    """
    places = (strength > torch.finfo(strength.dtype).tiny).nonzero()
    return (int(places[0]), int(places[-1])) if len(places) else None


def _step(one: tuple[int, int] | None, other: tuple[int, int] | None, side: int) -> int | None:
    """Return how far both ends of a box moved; None if a border holds one of them."""
    if one is None or other is None or one[0] == 0 or other[1] == side - 1:
        return None
    moved = other[0] - one[0]
    return moved if moved == other[1] - one[1] > 0 else None
