"""How much a network may allocate while it is built: its weights say how large it is.

A card can name an architecture with arguments for which any memory is too small. The weights have
as many values as the network that they are of, so nothing larger needs to be built.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from models.dispatch import DispatchMode
from models.errors import FanlightError

SPARE_VALUES = 2**24  # 64 MiB as float32: for tables that are not weights
SPARE_TENSORS = 10_000
TIMES = 4  # that a network may allocate what its weights have: some are drawn in double precision


class TooLargeNetworkError(FanlightError):
    """A network needs far more memory than its weights."""


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

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        is_new = not any(isinstance(each, Tensor) for each in args)
        size = args[0] if args and isinstance(args[0], list | tuple) else None
        if is_new and size is not None and all(isinstance(side, int) for side in size):
            self._take(math.prod(size))
        result = func(*args, **(kwargs or {}))
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
