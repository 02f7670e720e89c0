"""What a machine can compute and move, measured in about a second: device → peak, bandwidth.

The peak is the best rate of products of square matrices of growing sizes. The bandwidth is the best
of a triad a = b + s·c (McCalpin, STREAM, 1995) over arrays larger than the last cache, where the
system tells its size. Other programs that run meanwhile make both smaller.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from training.profiling.traffic import Traffic

Bound = Literal["memory", "arithmetic"]

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_SECONDS = 0.4  # for each of the two
_SMALLEST, _LARGEST = 256, 8192  # rows of a matrix
_ARRAY = 64 * 2**20, 256 * 2**20  # bytes, at least and at most
_ALPHA = 3.0


@dataclass(frozen=True)
class Machine:
    """The speed of a machine: `peak` in floating-point operations and `bandwidth` in bytes a
    second."""

    peak: float
    bandwidth: float

    @property
    def ridge(self) -> float:
        """Operations a byte from which on arithmetic takes longer than memory."""
        return self.peak / self.bandwidth

    def bound(self, traffic: Traffic) -> Bound | None:
        """Return which of memory and arithmetic takes longer; None if nothing is moved."""
        if traffic.intensity is None:
            return None
        return "memory" if traffic.intensity < self.ridge else "arithmetic"

    def milliseconds(self, traffic: Traffic) -> float:
        """The least time: that of the arithmetic or of the traffic, whichever is longer."""
        return 1000 * max(traffic.operations / self.peak, traffic.bytes / self.bandwidth)


def peak(device: torch.device, dtype: torch.dtype) -> float:
    """Measure the floating-point operations per second of the fastest product of two matrices.

    Raises `RuntimeError` for a type that the device can't multiply.
    """
    best, size, until = 0.0, _SMALLEST, time.perf_counter() + _SECONDS
    while size <= _LARGEST and time.perf_counter() < until:
        one = torch.ones(size, size, dtype=dtype, device=device)
        result = torch.empty_like(one)

        def multiply(one: torch.Tensor = one, result: torch.Tensor = result) -> None:
            torch.mm(one, one, out=result)

        best = max(best, 2 * size**3 / _seconds(multiply, device))
        size *= 2
    return best


def bandwidth(device: torch.device, array_bytes: int) -> float:
    """Measure the bytes per second that a triad moves, over three arrays of `array_bytes` each."""
    first, second = (torch.ones(array_bytes // 4, device=device) for _ in range(2))
    result = torch.zeros_like(first)

    def triad() -> None:
        torch.add(first, second, alpha=_ALPHA, out=result)

    until = time.perf_counter() + _SECONDS
    best = _seconds(triad, device)
    while time.perf_counter() < until:
        best = min(best, _seconds(triad, device))
    return 3 * result.nbytes / best


def array_bytes(device: torch.device) -> int:
    """Return the size in bytes of a triad's array: that of the last cache, from 64 to 256 MiB."""
    return min(max(_ARRAY[0], last_cache(device) or 0), _ARRAY[1])


def last_cache(device: torch.device) -> int | None:
    """Return the size of the last cache in bytes; None if the system does not report it."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).L2_cache_size)
    sizes = [path.read_text().strip() for path in _CACHES.glob("index*/size")]  # as 2048K
    return max((int(size[:-1]) * 1024 for size in sizes if size.endswith("K")), default=None)


def _seconds(run: Callable[[], None], device: torch.device) -> float:
    """Return the time of the faster of two runs; the first one also warms up."""
    spent = []
    for _ in range(2):
        _wait(device)
        started = time.perf_counter()
        run()
        _wait(device)
        spent.append(time.perf_counter() - started)
    return min(spent)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
