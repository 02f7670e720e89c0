"""Peak memory of a block of code."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")


@dataclass
class Peak:
    """The peak memory of a block: `bytes` above the use at its start.

    It is None until the end of the block, and if the system can't measure it.
    """

    bytes: int | None = None


@contextmanager
def peak(device: torch.device) -> Iterator[Peak]:
    """Measure the peak memory of the block: the device's allocations, or resident memory on a CPU.

    On a CPU it works on Linux only. Freed memory is first returned to the system: if it were
    reused, it would not count.
    """
    measured = Peak()
    if device.type == "cuda":
        torch.cuda.init()  # a process that has not used the GPU yet has no statistics to reset
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
        CLEAR_REFS.write_text("5")  # proc(5): resets the peak to the current use
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
