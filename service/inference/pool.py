"""Threads for one kind of work, and a bounded number of requests that want it.

Each kind of work has threads of its own, so that much work of one kind delays no other kind.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import ParamSpec, TypeVar

from service.errors import QueueFullError

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Pool:
    """A pool of `threads`, and places for at most `places` requests that run or wait.

    `what` names these requests in errors, `setting` the setting that limits them.
    """

    def __init__(self, what: str, threads: int, places: int, setting: str | None = None) -> None:
        self._what, self._places, self._setting = what, places, setting
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=what)
        self.taken = 0  # places

    def close(self) -> None:
        """Cancel work that waits, and wait until the threads have finished."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Reserve a place for a request until the block ends, or raise `QueueFullError`."""
        if self.taken >= self._places:
            named = f" (setting {self._setting})" if self._setting else ""
            raise QueueFullError(
                f"{self.taken} requests for {self._what} are being answered or wait already; "
                f"at most {self._places} may{named}: try again in a second"
            )
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    async def run(
        self, work: Callable[Given, Result], *args: Given.args, **options: Given.kwargs
    ) -> Result:
        """Run `work` in a thread; work that has not begun is dropped if the caller is cancelled."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, partial(work, *args, **options))
