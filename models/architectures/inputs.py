"""The inputs of a network whose architecture states none, found by trying channels and sizes.

Only shapes are computed (torch's device `meta`), so a try takes well under a millisecond.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from models.architectures import outputs, own_code
from models.errors import FanlightError

CHANNELS = (1, 3)
MAX_SIDE = 512  # pixels
USUAL_SIDES = (16, 28, 32, 64, 96, 128, 224, 256, 299)  # pixels
_ANY = (97, 224)  # a network that takes squares of both takes any


class UnclearInputError(FanlightError):
    """A network takes several inputs, or none that was tried: the user has to say which."""


@dataclass(frozen=True)
class Takes:
    """The inputs that a network takes.

    `sides` maps a number of channels to the sides of the squares that work, in pixels; an empty
    tuple stands for any side. `problem` is the error of the network if no input worked.
    """

    sides: Mapping[int, tuple[int, ...]]
    problem: str | None = None

    def of(self, channels: int) -> str:
        """Return the range of the sides as a phrase; empty where any side will do, or only one."""
        sides = self.sides.get(channels, ())
        return f"it takes {sides[0]} to {sides[-1]} pixels" if len(sides) > 1 else ""

    @property
    def any_size(self) -> bool:
        return any(not sides for sides in self.sides.values())


def takes_flat(network: nn.Module) -> bool:
    """Return whether a network is a row of layers that takes flattened images.

    That is an `nn.Sequential` whose first layer is linear (dropout apart), without an `nn.Flatten`.
    For images (N, C, H, W) it would not return logits (N, num_classes).
    """
    if type(network) is not nn.Sequential:
        return False
    leaves = [each for each in network.modules() if not list(each.children())]
    layers = [each for each in leaves if not isinstance(each, nn.Dropout | nn.Identity)]
    has_flatten = any(isinstance(each, nn.Flatten) for each in layers)
    return bool(layers) and isinstance(layers[0], nn.Linear) and not has_flatten


def fails_unless_flat(network: nn.Module) -> bool:
    """Return whether a network takes images only if they are flattened before.

    Only a network whose first layer with parameters is linear is tried: with images of several
    shapes, then with a vector of as many values as that layer takes.
    """
    leaves = (each for each in network.modules() if not list(each.children()))
    first = next((each for each in leaves if list(each.parameters(recurse=False))), None)
    if not isinstance(first, nn.Linear):
        return False
    values = first.in_features
    sides = {(channels, math.isqrt(values // channels)) for channels in CHANNELS}
    images = [(c, side, side) for c, side in sides if c * side**2 == values]
    rows = [(c, side, side) for c in CHANNELS for side in {values, *USUAL_SIDES}]
    modes = {each: each.training for each in network.modules()}
    network.eval()
    try:
        with torch.random.fork_rng(devices=[]):
            tried = images + [shape for shape in rows if shape[1] <= MAX_SIDE]
            return not any(_answers(network, shape) for shape in tried) and _answers(
                network, (values,)
            )
    finally:
        for module, training in modes.items():
            module.training = training


def _answers(network: nn.Module, shape: tuple[int, ...]) -> bool:
    return _problem(network, torch.zeros(1, *shape)) is None


def is_flattened(network: nn.Module) -> bool:
    """Whether `flatten_before` was called for the network."""
    return any(hook is _flatten for hook in network._forward_pre_hooks.values())


def flatten_before(network: nn.Module) -> None:
    """Register a hook that flattens images (N, C, H, W); the names of parameters stay."""
    network.register_forward_pre_hook(_flatten)


def _flatten(network: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (inputs[0].flatten(1), *inputs[1:])


def takes(network: nn.Module) -> Takes:
    """Find the square inputs that a network takes, up to `MAX_SIDE` pixels, with 1 and 3 channels.

    The network is put into evaluation mode and moved to the device `meta`, so its weights are lost.
    """
    network = network.eval().to("meta")
    found = {channels: _sides(network, channels) for channels in CHANNELS}
    taken = {channels: sides for channels, sides in found.items() if sides is not None}
    return Takes(taken, "" if taken else _problems(network))


def _problems(network: nn.Module) -> str:
    """Return the errors of a network that takes no image, for images of two usual shapes."""
    problems = {}
    for shape in ((1, 28, 28), (3, 32, 32)):
        problem = _problem(network, torch.empty(2, *shape, device="meta"))
        problems["×".join(map(str, shape))] = problem
    if len(set(problems.values())) == 1:
        return f"each time {next(iter(problems.values()))}"
    return ", ".join(f"for {shape} {problem}" for shape, problem in problems.items())


def _sides(network: nn.Module, channels: int) -> tuple[int, ...] | None:
    """Return the sides, in pixels, of the squares that work: empty if any do, None if none does."""
    if all(_runs(network, channels, side) for side in _ANY):
        return ()
    found: list[int] = []
    for side in range(1, MAX_SIDE + 1):
        if _runs(network, channels, side):
            found.append(side)
        elif found:
            break  # a larger one has more values than the linear layer takes
    return tuple(found) or None


def _runs(network: nn.Module, channels: int, side: int) -> bool:
    return _problem(network, torch.empty(2, channels, side, side, device="meta")) is None


def _problem(network: nn.Module, batch: torch.Tensor) -> str | None:
    """Return why a network gives no logits (N, num_classes), as "it raises …", or None."""
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            output = outputs.logits_of(network(batch))
    except own_code.FAILURES as error:
        return f"it raises {own_code.reason(error)}"
    if not isinstance(output, torch.Tensor):
        return f"it returns {outputs.kind(output)}"
    if output.ndim != 2 or len(output) != len(batch):
        return f"it returns the shape {tuple(output.shape)} for {len(batch)} images"
    return None


def choose(name: str, takes: Takes, given: Mapping[str, Any]) -> dict[str, Any]:
    """Choose channels, height and width of the input; those in `given` are kept.

    If several sizes fit, the one in `USUAL_SIDES` is chosen. Raises `UnclearInputError` if it isn't
    clear.
    """
    found = dict(given)
    if "channels" not in found:
        if len(takes.sides) != 1 and {"height", "width"} <= given.keys():
            raise UnclearInputError(f"{name} does not say how many channels it takes: --channels")
        if len(takes.sides) != 1:
            raise UnclearInputError(
                f"{name} does not say what it takes, and trying it has not shown it"
                f"{f' ({takes.problem})' if takes.problem else ''}: give --channels, --height and "
                f"--width, or register it with an InputSpec{_MEND if takes.problem else ''}"
            )
        found["channels"] = next(iter(takes.sides))
    sides = takes.sides.get(found["channels"], ())
    for one, other in (("height", "width"), ("width", "height")):
        if one in given and other not in given:
            found[other] = given[one]
    if "height" not in found:
        found["height"] = found["width"] = _side(name, sides)
    return {key: found[key] for key in ("channels", "height", "width")}


_MEND = "; if it takes no picture at all, mend what it raises or returns"


def _side(name: str, sides: tuple[int, ...]) -> int:
    if not sides:
        raise UnclearInputError(
            f"{name} takes pictures of any size: give the one that it was trained on, by --height "
            "and --width (fit and profile: --size)"
        )
    usual = [side for side in sides if side in USUAL_SIDES]
    if len(sides) == 1 or len(usual) == 1:
        return (usual or list(sides))[0]
    raise UnclearInputError(
        f"{name} takes pictures of {sides[0]} to {sides[-1]} pixels: give the size that it was "
        "trained on, by --height and --width (fit and profile: --size)"
    )
