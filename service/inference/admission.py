"""How much may be held at once: requests wait for room, first come, first served."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.errors import QueueFullError


class MemoryBudget:
    """Room for `limit` units; at most `max_waiting` requests wait for theirs."""

    def __init__(self, limit: int, max_waiting: int) -> None:
        self._limit, self._max_waiting = limit, max_waiting
        self.held = 0  # units
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """Requests that wait for room."""
        return len(self._queue)

    @asynccontextmanager
    async def hold(self, units: int) -> AsyncIterator[None]:
        """Hold so many units inside the block; more than the limit counts as the limit.

        Raises `QueueFullError` if too many wait already.
        """
        units = min(units, self._limit)
        await self._enter(units)
        try:
            yield
        finally:
            self.held -= units
            self._admit()

    async def _enter(self, units: int) -> None:
        if not self._queue and self.held + units <= self._limit:
            self.held += units
            return
        if len(self._queue) >= self._max_waiting:
            raise QueueFullError(
                f"{len(self._queue)} requests wait already for room for their activations; "
                "try again in a second"
            )
        turn = asyncio.get_running_loop().create_future()
        self._queue.append((units, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it had been admitted
                self.held -= units
            self._queue = deque(each for each in self._queue if each[1] is not turn)
            self._admit()
            raise

    def _admit(self) -> None:
        while self._queue and self.held + self._queue[0][0] <= self._limit:
            units, turn = self._queue.popleft()
            if not turn.done():
                self.held += units
                turn.set_result(None)
