"""The logits in the output of a network: a tensor, the first of several, or the one named `logits`.

The user's own networks may return features beside their logits, or objects. A hook on the network
extracts the logits wherever the network is called: in training, in the service, in an export.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from models.preprocessing import InputSpec

LOGITS = "logits"


def logits_of(returned: Any) -> Any:
    """Return the logits in the output of a network; an output without logits is returned unchanged.

    They are the tensor itself; the item `logits` of a dict, or the attribute `logits` of an object;
    the only tensor of a dict; or the first item of a tuple or list.
    """
    if isinstance(returned, Tensor):
        return returned
    if isinstance(returned, Mapping):
        tensors = [value for value in returned.values() if isinstance(value, Tensor)]
        return returned.get(LOGITS, tensors[0] if len(tensors) == 1 else returned)
    if isinstance(named := getattr(returned, LOGITS, None), Tensor):
        return named
    if isinstance(returned, tuple | list) and returned and isinstance(returned[0], Tensor):
        return returned[0]
    return returned


def take_logits(network: nn.Module) -> None:
    """Register a hook on the network that replaces its output by the logits in it."""
    network.register_forward_hook(_take_logits)


def _take_logits(_network: nn.Module, _inputs: Any, returned: Any) -> Any:
    return logits_of(returned)


@contextmanager
def returned(network: nn.Module) -> Iterator[list[Any]]:
    """Record the whole outputs of the network's forward passes in the `with` block.

    Yields a list that each forward pass appends to, before `take_logits` reduces the output.
    """
    found: list[Any] = []
    handle = network.register_forward_hook(lambda *call: found.append(call[-1]), prepend=True)
    try:
        yield found
    finally:
        handle.remove()


@torch.inference_mode()
def left_out(network: nn.Module, input: InputSpec) -> str:
    """Run a network in evaluation mode once, and describe its outputs beside the logits; "" if it
    has no others."""
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    with returned(network) as found:
        network(torch.zeros(1, *input.shape, device=device))
    [whole] = found
    if isinstance(whole, Tensor) or len(parts := _parts(whole)) < 2:
        return ""
    logits = logits_of(whole)
    taken = next(name for name, value in parts if value is logits)
    others = [name for name, value in parts if value is not logits]
    more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    shown = ", ".join(others[:_SHOWN]) + more
    are = "are" if len(others) > 1 else "is"
    return (
        f"the network returns several outputs: {taken} is taken as logits; {shown} {are} left out"
    )


def described(returned: Any, shape: Sequence[int]) -> str:
    """Return the end of an error message about outputs that are not logits of this `shape`.

    It names the output that has the shape, or else all outputs. It is empty for a tensor.
    """
    if isinstance(returned, Tensor):
        return ""
    parts = _parts(returned)
    fits = [n for n, value in parts if isinstance(value, Tensor) and value.shape == tuple(shape)]
    if fits:
        return f"; {fits[0]} has that shape: return it first, or call it {LOGITS!r}"
    return f"; it returns {kind(returned)}"


def kind(returned: Any) -> str:
    """Describe outputs that have no logits, and say what to return instead."""
    parts = _parts(returned)
    if not parts:
        return f"an object of {type(returned).__name__}: return the logits"
    shown = ", ".join(f"{name} {_kind(value)}" for name, value in parts[:_SHOWN])
    return f"{shown}: return the logits alone, first, or as {LOGITS!r}"


def _parts(returned: Any) -> list[tuple[str, Any]]:
    """Return the outputs in a dict, tuple, list or object, each with a name for messages."""
    if isinstance(returned, Mapping):
        return [(repr(name), value) for name, value in returned.items()]
    if isinstance(returned, tuple | list):
        return [(f"output {number}", value) for number, value in enumerate(returned, 1)]
    if fields := getattr(returned, "__dict__", None):
        return [(repr(name), value) for name, value in fields.items()]
    return []


def _kind(value: Any) -> str:
    return f"{tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


_SHOWN = 4  # outputs in a message
