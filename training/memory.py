"""How much memory a stretch of code takes at its height."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


@dataclass
class Peak:
    """`bytes` above what was held at the start; None until the end, or where nobody tells."""

    bytes: int | None = None


@contextmanager
def peak(device: torch.device) -> Iterator[Peak]:
    """The height of the device's allocations, or on a CPU of the process's resident memory.

    The latter is told by Linux alone. What was freed before is given back to the system first:
    taken up again it would not count.
    """
    measured = Peak()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield measured
        measured.bytes = torch.cuda.max_memory_allocated(device) - before
        return
    if sys.platform != "linux":
        yield measured
        return
    _give_back_freed()
    try:
        _CLEAR.write_text("5")  # proc(5): resets the height to what is held now
    except OSError:
        yield measured
        return
    before = _resident()
    yield measured
    measured.bytes = max(0, _resident() - before)


def _give_back_freed() -> None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # the GNU C library's
    if trim is not None:
        trim(0)


def _resident() -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
