"""Batches across clients: items of many requests → one call → the results of each request.

Large requests are split, small ones are merged. Scheduling is fair: each waiting request gets an
equal share of the next batch, so a single item doesn't wait behind the hundreds of another request.
There is no timer by default: an idle runner takes all queued items immediately, and while it is
busy the next batch fills.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, NamedTuple, Self, TypeVar, cast

import structlog

from service.errors import QueueFullError, ServiceError, UnavailableError

log = structlog.get_logger()

Item = TypeVar("Item")
Result = TypeVar("Result")


class BatchFailedError(ServiceError):
    """The call that held the request's items raised; its cause is in the log."""


class Queued(Generic[Item, Result]):
    """The items of one request and the results so far; `future` resolves to all results."""

    __slots__ = ("arrived", "future", "items", "missing", "results", "taken")

    def __init__(self, items: Sequence[Item], loop: asyncio.AbstractEventLoop) -> None:
        self.items = items
        self.future: asyncio.Future[list[Result]] = loop.create_future()
        self.arrived = loop.time()  # seconds
        self.taken = 0  # items that went into batches
        self.missing = len(items)  # results
        self.results = cast(list[Result], [None] * len(items))


class _Slice(NamedTuple, Generic[Item, Result]):
    """The items of a request that go into one batch."""

    request: Queued[Item, Result]
    start: int
    stop: int


class Batcher(Generic[Item, Result]):
    """Gathers items for `run`, which takes a list and returns one result for each, in order.

    `run` may return an exception in place of a result; it fails only the request of that item. One
    call gets at most `max_batch_size` items; at most `max_queue_size` may wait. `max_batch_delay`
    is how long the oldest item may wait for a full batch, in seconds. Use as an async context
    manager: leaving it refuses new items, finishes queued ones, then returns. The attribute `run`
    may be replaced; it applies from the next batch.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        max_batch_size: int,
        max_queue_size: int,
        max_batch_delay: float = 0.0,
    ) -> None:
        self.run = run
        self._max_batch_size = max_batch_size
        self._max_queue_size = max_queue_size
        self._max_batch_delay = max_batch_delay
        self._queue: deque[Queued[Item, Result]] = deque()
        self._waiting = 0  # items in the queue
        self._changed = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._serve())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        self._changed.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def submit(self, items: Sequence[Item]) -> list[Result]:
        """The results for the items, in their order.

        Raises as `enqueue` does, and `BatchFailedError` if the run fails. If the caller is
        cancelled, its items leave the queue and nobody else's are touched.
        """
        request = self.enqueue(items)
        if not items:
            return []
        try:
            return await request.future
        except BaseException:  # cancelled or failed: what is left of the request is not wanted
            self.withdraw(request)
            raise

    def enqueue(self, items: Sequence[Item]) -> Queued[Item, Result]:
        """Like `submit`, but returns without waiting.

        The caller awaits `future` of the returned entry. It must call `withdraw` if it stops
        waiting or if the future failed. Raises `QueueFullError` if the items don't all fit into the
        queue, `UnavailableError` while closing.
        """
        if self._closing or self._task is None or self._task.done():
            raise UnavailableError("this model doesn't run, or not any more; ask another server")
        self.check_room(len(items))
        request: Queued[Item, Result] = Queued(items, asyncio.get_running_loop())
        if items:
            self._queue.append(request)
            self._waiting += len(items)
            self._changed.set()
        return request

    @property
    def waiting(self) -> int:
        """Items in the queue; those of the batch that runs now are not."""
        return self._waiting

    def check_room(self, count: int) -> None:
        """Raise `QueueFullError` if so many more items don't fit into the queue."""
        if self._waiting + count > self._max_queue_size:
            raise QueueFullError(
                f"{self._waiting} images wait already and {count} more would pass the "
                f"limit of {self._max_queue_size} (setting max_queue_size); try again in a second"
            )

    def withdraw(self, request: Queued[Item, Result]) -> None:
        """Remove the remaining items of a request from the queue; its results are discarded."""
        future = request.future
        if not future.cancel() and not future.cancelled():
            future.exception()  # else asyncio would log it as never retrieved
        if request.taken < len(request.items):
            self._queue.remove(request)
            self._waiting -= len(request.items) - request.taken

    async def _serve(self) -> None:
        while await self._filled():
            await self._answer(self._next_batch())
            await asyncio.sleep(0)  # a run that never waits must not keep the loop

    def _next_batch(self) -> list[_Slice[Item, Result]]:
        """The items of the next call: an equal share of each waiting request."""
        batch = []
        room = self._max_batch_size
        while room and self._queue:
            share = max(1, room // len(self._queue))
            for _ in range(min(room, len(self._queue))):
                request = self._queue.popleft()
                start, left = request.taken, len(request.items) - request.taken
                request.taken = start + min(share, left)
                batch.append(_Slice(request, start, request.taken))
                room -= request.taken - start
                if request.taken < len(request.items):
                    self._queue.append(request)
        self._waiting -= self._max_batch_size - room
        return batch

    async def _filled(self) -> bool:
        """Wait until there is something to run; False when closing and all is done."""
        while not self._queue:
            if self._closing:
                return False
            await self._change()
        if self._max_batch_delay:
            with suppress(TimeoutError):
                oldest = min(request.arrived for request in self._queue)
                async with asyncio.timeout_at(oldest + self._max_batch_delay):
                    while self._waiting < self._max_batch_size and not self._closing:
                        await self._change()
        return True

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _answer(self, batch: list[_Slice[Item, Result]]) -> None:
        """Run one batch and hand out the results; those whose client has left are thrown away."""
        items = [item for part in batch for item in part.request.items[part.start : part.stop]]
        if not items:  # the requests left while the batch was waited for
            return
        try:
            results = await self.run(items)
            if len(results) != len(items):
                raise RuntimeError(f"{len(results)} results for {len(items)} items")
        except BaseException as cause:
            log.exception("batch failed", size=len(items))
            self._hand_out(batch, [cause] * len(items))
            if not isinstance(cause, Exception):
                raise
        else:
            self._hand_out(batch, results)

    @staticmethod
    def _hand_out(
        batch: list[_Slice[Item, Result]], results: Sequence[Result | BaseException]
    ) -> None:
        position = 0
        for request, start, stop in batch:
            own = results[position : position + stop - start]
            position += stop - start
            if request.future.done():
                continue
            if failed := [result for result in own if isinstance(result, BaseException)]:
                error = BatchFailedError("the network failed on this request; see the server's log")
                error.__cause__ = failed[0]
                request.future.set_exception(error)
                continue
            request.results[start:stop] = cast(Sequence[Result], own)
            request.missing -= stop - start
            if not request.missing:
                request.future.set_result(request.results)
