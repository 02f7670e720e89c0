"""When freed memory goes back to the system: one policy for the whole process.

glibc keeps what is freed below a block that is still used, for as long as the process runs: after
300 bodies of 0.9 MB that came together, the process kept 310 MB more than before. `malloc_trim`
gives whole pages back wherever they are. Smaller thresholds for mmap would do so too, and made the
same bodies two to five times as slow, since each body grows while it arrives.

Trimming locks the allocator, for about 0.2 ms a megabyte that goes back. So it waits for a moment
without requests, and for an amount that is worth it.
"""

import asyncio
import ctypes
import mmap
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

LOOK_SECONDS = 2.0  # between two looks
WORTH_BYTES = 64 * 2**20  # by which the process has grown since it was trimmed
_STATM = Path("/proc/self/statm")


def resident() -> int:
    """Return the bytes of resident memory of this process; 0 if the system does not say."""
    try:
        return int(_STATM.read_text().split()[1]) * mmap.PAGESIZE
    except OSError:  # not Linux
        return 0


def trim() -> None:
    """Give freed pages back, where the C library can."""
    with suppress(AttributeError, OSError):  # another library than glibc
        ctypes.CDLL(None).malloc_trim(0)


class Trimming:
    """A background task that trims memory while its `async with` block lasts.

    It trims when `is_quiet()` is True and the process has grown by `WORTH_BYTES`.
    """

    def __init__(
        self,
        is_quiet: Callable[[], bool],
        resident: Callable[[], int] = resident,
        trim: Callable[[], None] = trim,
    ) -> None:
        self._is_quiet, self._resident, self._trim = is_quiet, resident, trim
        self._low: int | None = None  # bytes, the least since the last trimming

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def look(self) -> None:
        """Trim once, if it is worth it."""
        now = self._resident()
        if self._low is None or now < self._low:
            self._low = now
        if now - self._low < WORTH_BYTES or not self._is_quiet():
            return
        # on a thread: the loop waits only if it needs memory of the part that is being trimmed
        await asyncio.to_thread(self._trim)
        self._low = self._resident()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()
