"""Turns that clients share equally: nobody waits for all of the others' work."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import perf_counter

from service.errors import QueueFullError
from service.setting_values.units import show_seconds

_PACE_WEIGHT = 0.2  # of the newest turn in the average of their seconds


class FairTurns:
    """Limits work to `size` pieces at a time, and serves the clients that wait round-robin.

    A client is refused if it would wait longer than `max_wait` seconds, judging by how long the
    last pieces of work took; `seconds` is the guess before the first has ended.
    """

    def __init__(
        self,
        size: int,
        max_wait: float,
        seconds: float,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._size, self._max_wait, self._clock = size, max_wait, clock
        self._free = size
        self._lines: dict[str | None, deque[asyncio.Future[None]]] = {}
        self._seconds = seconds  # that a turn takes, averaged over the last ones

    @asynccontextmanager
    async def turn(self, client: str | None) -> AsyncIterator[None]:
        """Wait for a turn, and take it for the block; raise `QueueFullError` to refuse it."""
        await self._begin(client)
        began = self._clock()
        try:
            yield
        finally:
            self._seconds += _PACE_WEIGHT * (self._clock() - began - self._seconds)
            self._end()

    async def _begin(self, client: str | None) -> None:
        if self._free:
            self._free -= 1
            return
        self._check_wait(client)
        turn = asyncio.get_running_loop().create_future()
        self._lines.setdefault(client, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._leave(client, turn)
            else:  # it was its turn already
                self._end()
            raise

    def _leave(self, client: str | None, turn: "asyncio.Future[None]") -> None:
        line = self._lines.get(client)
        if line is not None and turn in line:  # else `_end` has taken it out meanwhile
            line.remove(turn)
            if not line:
                del self._lines[client]

    def _check_wait(self, client: str | None) -> None:
        own = len(self._lines.get(client, ())) + 1
        ahead = sum(min(own, len(line)) for line in self._lines.values())  # one of each in turn
        seconds = self._seconds * (ahead + 1) / self._size
        if seconds > self._max_wait:
            raise QueueFullError(
                f"the images that are to be decoded before this one take {seconds:.1f} s, more "
                f"than {show_seconds(self._max_wait)} (setting max_queue_wait); try again later"
            )

    def _end(self) -> None:
        """Give the turn to the first of the next client in line, or keep it free."""
        while self._lines:
            client, line = next(iter(self._lines.items()))
            del self._lines[client]
            turn = line.popleft()
            if line:
                self._lines[client] = line  # behind the others
            if not turn.done():  # else its task is about to leave the line
                turn.set_result(None)
                return
        self._free += 1
