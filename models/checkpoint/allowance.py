"""How much memory a network may take, for a card can name what no memory is large enough for.

Building: its weights have as many values as the network, so nothing larger needs to be built.
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
    """Raises `TooLargeNetworkError` before torch makes a tensor beyond what is allowed.

    Counts new tensors of the thread inside the `with` block. `weights` is the state_dict that the
    network is to get.
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
    """Raises `TooLargeNetworkError` at the first tensor of more than `max_bytes`.

    Counts results of the thread inside the `with` block. A convolution is what makes an image much
    larger, so it first runs on tensors without memory (device `meta`), which gives the size of its
    result. Other operators make tensors about as large as those that they get.
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
        """True unless the result is small enough even with a value for each pixel of the image."""
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
    """The same arguments, with tensors on the device `meta`."""
    return tree_map_only(Tensor, lambda each: each.to("meta"), arguments)


_aten = torch.ops.aten
_CONVOLUTIONS = {_aten.convolution, _aten.conv2d, _aten._convolution}
