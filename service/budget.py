"""How much may be held at once: requests wait for room, first come, first served."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.errors import QueueFullError


class Budget:
    """Room for `limit` units; at most `max_waiting` requests wait for theirs."""

    def __init__(self, limit: int, max_waiting: int) -> None:
        self._limit, self._max_waiting = limit, max_waiting
        self._held = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

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
            self._held -= units
            self._admit()

    async def _enter(self, units: int) -> None:
        if not self._waiting and self._held + units <= self._limit:
            self._held += units
            return
        if len(self._waiting) >= self._max_waiting:
            raise QueueFullError(
                f"{len(self._waiting)} requests wait already for room for their activations; "
                "try again in a second"
            )
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((units, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it had been admitted
                self._held -= units
            self._waiting = deque(each for each in self._waiting if each[1] is not turn)
            self._admit()
            raise

    def _admit(self) -> None:
        while self._waiting and self._held + self._waiting[0][0] <= self._limit:
            units, turn = self._waiting.popleft()
            if not turn.done():
                self._held += units
                turn.set_result(None)
