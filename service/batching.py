"""Batches across clients: items of many requests → one call → each request its own results.

The unit is the item, so a request larger than a batch is split and small ones are joined. There is
no timer when there is no load: an idle runner takes at once what is queued, and while it is busy
the next batch gathers.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

import structlog

from service.errors import QueueFullError, ServiceError, UnavailableError

log = structlog.get_logger()

Item = TypeVar("Item")
Result = TypeVar("Result")


class BatchFailedError(ServiceError):
    """The call that held the request's items raised; its cause is in the log."""


@dataclass(eq=False)
class _Entry(Generic[Item, Result]):
    item: Item
    future: asyncio.Future[Result]
    arrived: float  # seconds of the loop's clock


class Batcher(Generic[Item, Result]):
    """Gathers items for `run`, which takes a list and returns one result for each, in order.

    In place of a result may stand an exception, which fails the request of that item alone.
    `max_batch_size` items go into one call, `max_queue_size` may wait. `max_batch_delay` is how
    long, in seconds, the oldest item may wait for a full batch. Use as an async context manager:
    leaving it refuses new items, finishes those queued and then returns.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        max_batch_size: int,
        max_queue_size: int,
        max_batch_delay: float = 0.0,
    ) -> None:
        self._run = run
        self._max_batch_size = max_batch_size
        self._max_queue_size = max_queue_size
        self._max_batch_delay = max_batch_delay
        self._queue: deque[_Entry[Item, Result]] = deque()
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

        Raises `QueueFullError` if they don't all fit into the queue, `UnavailableError` while
        closing, `BatchFailedError` if the run fails. If the caller is cancelled, its items leave
        the queue and nobody else's are touched.
        """
        if self._closing or self._task is None or self._task.done():
            raise UnavailableError("this model doesn't run, or not any more; ask another server")
        if len(self._queue) + len(items) > self._max_queue_size:
            raise QueueFullError(
                f"{len(self._queue)} images wait already and {len(items)} more would pass the "
                f"limit of {self._max_queue_size} (setting max_queue_size); try again in a second"
            )
        loop = asyncio.get_running_loop()
        now = loop.time()
        entries = [_Entry[Item, Result](item, loop.create_future(), now) for item in items]
        self._queue.extend(entries)
        self._changed.set()
        try:
            return await asyncio.gather(*(entry.future for entry in entries))
        except BaseException:  # cancelled or failed: what is left of the request is not wanted
            for entry in entries:
                entry.future.cancel()
            self._queue = deque(entry for entry in self._queue if not entry.future.done())
            raise

    async def _serve(self) -> None:
        while await self._filled():
            count = min(len(self._queue), self._max_batch_size)
            await self._answer([self._queue.popleft() for _ in range(count)])

    async def _filled(self) -> bool:
        """Wait until there is something to run; False when closing and all is done."""
        while not self._queue:
            if self._closing:
                return False
            await self._change()
        if self._max_batch_delay:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._queue[0].arrived + self._max_batch_delay):
                    while len(self._queue) < self._max_batch_size and not self._closing:
                        await self._change()
        return True

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _answer(self, batch: list[_Entry[Item, Result]]) -> None:
        """Run one batch and hand out the results; those whose client has left are thrown away."""
        if not batch:
            return
        try:
            results = await self._run([entry.item for entry in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"{len(results)} results for {len(batch)} items")
        except BaseException as cause:
            log.exception("batch failed", size=len(batch))
            self._hand_out(batch, [cause] * len(batch))
            if not isinstance(cause, Exception):
                raise
        else:
            self._hand_out(batch, results)

    @staticmethod
    def _hand_out(
        batch: list[_Entry[Item, Result]], results: Sequence[Result | BaseException]
    ) -> None:
        for entry, result in zip(batch, results, strict=True):
            if entry.future.done():
                continue
            if isinstance(result, BaseException):
                error = BatchFailedError("the network failed on this request; see the server's log")
                error.__cause__ = result
                entry.future.set_exception(error)
            else:
                entry.future.set_result(result)
