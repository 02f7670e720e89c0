"""Limits on the memory of a network, since a card may name one that no memory is large enough for.

Building: a network may allocate a few times as many values as its weights have (`Allowance`).
Forward pass: no activation of one image may be larger than `MAX_ACTIVATION_BYTES`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from models.dispatch import DispatchMode
from models.errors import FanlightError

SPARE_VALUES = 2**24  # 64 MiB as float32: for tables that are not weights
SPARE_TENSORS = 10_000
MAX_ACTIVATION_BYTES = 2**28  # of one tensor: 64 channels of 1024×1024 as float32
TIMES = 4  # that a network may allocate what its weights have: some are drawn in double precision


class TooLargeNetworkError(FanlightError):
    """A network needs far more memory than its weights, or than an image should."""


class Allowance(DispatchMode):
    """A context manager that raises `TooLargeNetworkError` before torch allocates too many tensors.

    It counts the new tensors of this thread, and their values, inside the `with` block. `weights`
    is the state_dict that the network will load; the limits are a few times its size.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:  # torch sets up the rest on entering
        storages = {
            each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() // each.itemsize
            for each in weights.values()
        }
        self._has = sum(storages.values())
        self._values = TIMES * self._has + SPARE_VALUES
        self._tensors = TIMES * len(weights) + SPARE_TENSORS

    def run(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        is_new = not any(isinstance(each, Tensor) for each in args)
        size = args[0] if args and isinstance(args[0], list | tuple) else None
        if is_new and size is not None and all(isinstance(side, int) for side in size):
            self._take(math.prod(size))
        result = func(*args, **kwargs)
        if is_new and size is None and isinstance(result, Tensor):  # arange, linspace
            self._take(result.numel())
        return result

    def _take(self, values: int) -> None:
        self._values -= values
        self._tensors -= 1
        if min(self._values, self._tensors) < 0:
            raise TooLargeNetworkError(
                f"it would be far larger than the weights, which have {self._has:,} values; "
                "its arguments or labels are not those of these weights"
            )


class ActivationLimit(DispatchMode):
    """A context manager that raises `TooLargeNetworkError` at a tensor of more than `max_bytes`.

    It checks the results of this thread's operators inside the `with` block. A convolution can make
    an image much larger, so one that may exceed the limit runs first on tensors without memory
    (device `meta`), which gives the size of its result. Other operators return tensors about as
    large as their arguments.
    """

    def __init__(self, max_bytes: int = MAX_ACTIVATION_BYTES) -> None:
        self._max_bytes = max_bytes

    def run(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if func.overloadpacket in _CONVOLUTIONS and self._may_be_large(*args[:2]):
            self._check(func(*_without_memory(args), **_without_memory(kwargs)))
        result = func(*args, **kwargs)
        self._check(result)
        return result

    def _may_be_large(self, image: Tensor, weight: Tensor) -> bool:
        """Return whether a convolution's result exceeds the limit if it keeps the image's size."""
        values = image.numel() // image.shape[1] * max(weight.shape[:2])
        return values * image.itemsize > self._max_bytes

    def _check(self, results: Any) -> None:
        for each in tree_leaves(results):
            if isinstance(each, Tensor) and each.numel() * each.itemsize > self._max_bytes:
                raise TooLargeNetworkError(
                    f"an image becomes {each.numel() * each.itemsize / 2**20:,.0f} MiB inside it, "
                    f"in a tensor of shape {tuple(each.shape)}; at most "
                    f"{self._max_bytes / 2**20:,.0f} MiB are possible: take a smaller input"
                )


def _without_memory(arguments: Any) -> Any:
    """Return the same arguments, with tensors on the device `meta`."""
    return tree_map_only(Tensor, lambda each: each.to("meta"), arguments)


_aten = torch.ops.aten
_CONVOLUTIONS = {_aten.convolution, _aten.conv2d, _aten._convolution}
