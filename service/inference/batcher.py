"""Batches across clients: items of many requests → one call → the results of each request.

Large requests are split, small ones are merged. Scheduling is fair: each waiting client gets an
equal share of the next batch, and each of its requests an equal part of that, so a single item
doesn't wait behind the hundreds of another client or request. A full queue takes a request of a
client that has little in it, and drops the newest requests of the client that has most.
There is no timer by default: an idle runner takes all queued items immediately, and while it is
busy the next batch fills.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from operator import attrgetter
from time import perf_counter
from typing import Generic, NamedTuple, Self, TypeVar, cast

from service.errors import QueueFullError, ServiceError, UnavailableError
from service.monitoring import logs
from service.monitoring.log_writer import LOST
from service.monitoring.work import Work

log = logs.Log()

MAX_COMPARED_CLIENTS = 64  # in search of the one with the most items: a full queue must be cheap
PACE_WEIGHT = 0.1  # of the newest batch in the average of seconds per item
_waiting = attrgetter("waiting")

Item = TypeVar("Item")
Result = TypeVar("Result")


class BatchFailedError(ServiceError):
    """The call that held the request's items raised; its cause is in the log.

    `failed` are the items of that call without a result: index in the request → why.
    """

    def __init__(self, detail: str, failed: Mapping[int, BaseException]) -> None:
        super().__init__(detail)
        self.failed = failed


class Queued(Generic[Item, Result]):
    """The items of one request and the results so far; `future` resolves to all results."""

    __slots__ = (
        "arrived",
        "began",
        "client",
        "future",
        "items",
        "missing",
        "results",
        "taken",
        "waited",
        "work",
    )

    def __init__(
        self,
        items: Sequence[Item],
        client: str | None,
        work: Work | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.items = items
        self.client = client
        self.work = work
        self.future: asyncio.Future[list[Result]] = loop.create_future()
        self.arrived = loop.time()  # seconds; uvloop's are whole milliseconds
        self.began = perf_counter()
        self.waited = 0.0  # seconds until its first item went into a batch
        self.taken = 0  # items that went into batches
        self.missing = len(items)  # results
        self.results = cast(list[Result], [None] * len(items))


class _Line(Generic[Item, Result]):
    """The requests of one client in the queue."""

    __slots__ = ("requests", "waiting")

    def __init__(self) -> None:
        self.requests: deque[Queued[Item, Result]] = deque()
        self.waiting = 0  # items


class _Slice(NamedTuple, Generic[Item, Result]):
    """The items of a request that go into one batch."""

    request: Queued[Item, Result]
    start: int
    stop: int


def _waits(batch: Sequence[_Slice[Item, Result]]) -> list[float]:
    """Set and return the seconds that each request whose first item is in the batch has waited."""
    now = perf_counter()
    found = []
    for request, start, _ in batch:
        if not start:
            request.waited = now - request.began
            found.append(request.waited)
    return found


class Batcher(Generic[Item, Result]):
    """Gathers items for `run`, which takes a list and returns one result for each, in order.

    `run` may return an exception in place of a result; it fails only the request of that item. One
    call gets at most `max_batch_size` items; at most `max_queue_size` may wait. `max_batch_delay`
    is how long the oldest item may wait for a full batch, in seconds.

    `observe_waits` is called when a batch is taken, with the seconds that each request whose first
    item is in the batch has waited. `observe_batch` is called after each batch with the `Work` of
    its requests, the number of its items, and the time of `perf_counter` when it began.

    Use as an async context manager: leaving it refuses new items, finishes queued ones, then
    returns. The attribute `run` may be replaced; it applies from the next batch.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        max_batch_size: int,
        max_queue_size: int,
        max_batch_delay: float = 0.0,
        observe_waits: Callable[[Sequence[float]], None] = lambda _seconds: None,
        observe_batch: Callable[[Sequence[Work | None], int, float], None] | None = None,
    ) -> None:
        self.run = run
        self._observe_waits, self._observe_batch = observe_waits, observe_batch
        self.seconds_per_item = 0.0  # how fast the queue moves, averaged over the last batches
        self._max_batch_size = max_batch_size
        self._max_queue_size = max_queue_size
        self._max_batch_delay = max_batch_delay
        self._lines: dict[str | None, _Line[Item, Result]] = {}  # of the clients that wait
        self.waiting = 0  # items in the queue, without those of the batch that runs now
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

    async def submit(
        self, items: Sequence[Item], client: str | None = None, work: Work | None = None
    ) -> list[Result]:
        """Queue the items, wait, and return their results in order; add the waiting time to `work`.

        Raises as `enqueue` does, and `BatchFailedError` if the run fails. If the caller is
        cancelled, its items leave the queue, and no other request is affected.
        """
        request = self.enqueue(items, client, work)
        if not items:
            return []
        try:
            results = await request.future
            if work is not None:
                work.queue += request.waited
            return results
        except BaseException:  # cancelled or failed: what is left of the request is not wanted
            self.withdraw(request)
            raise

    def enqueue(
        self, items: Sequence[Item], client: str | None = None, work: Work | None = None
    ) -> Queued[Item, Result]:
        """Like `submit`, but returns without waiting.

        The caller awaits `future` of the returned entry. It must call `withdraw` if it stops
        waiting or if the future failed. Raises `QueueFullError` if the items don't all fit into the
        queue, `UnavailableError` while closing. The future fails with `QueueFullError` if the
        request has to make room for one of a client with fewer items in the queue.
        """
        if self._closing or self._task is None or self._task.done():
            raise UnavailableError("this model doesn't run, or not any more; ask another server")
        count = len(items)
        if self.waiting + count > self._max_queue_size:
            self._make_room(count, client)
        request: Queued[Item, Result] = Queued(items, client, work, asyncio.get_running_loop())
        if items:
            line = self._lines.get(client)
            if line is None:
                line = self._lines[client] = _Line()
            line.requests.append(request)
            line.waiting += count
            self.waiting += count
            self._changed.set()
        return request

    def check_room(self, count: int, client: str | None = None) -> None:
        """Raise `QueueFullError` if `count` more items of the client don't fit into the queue."""
        if self.waiting + count > self._max_queue_size:
            self._droppable(count, client)

    def withdraw(self, request: Queued[Item, Result]) -> None:
        """Remove the remaining items of a request from the queue; its results are discarded."""
        future = request.future
        if not future.cancel() and not future.cancelled():
            future.exception()  # else asyncio would log it as never retrieved
        if request.taken < len(request.items):
            self._remove(request)

    def _remove(self, request: Queued[Item, Result]) -> None:
        line, left = self._lines[request.client], len(request.items) - request.taken
        line.requests.remove(request)
        request.taken = len(request.items)
        line.waiting -= left
        self.waiting -= left
        if not line.requests:
            del self._lines[request.client]

    def _make_room(self, count: int, client: str | None) -> None:
        """Drop requests so that `count` items of the client fit, or raise `QueueFullError`."""
        for request in self._droppable(count, client):
            dropped = self._full(len(request.items))
            self._remove(request)
            request.future.set_exception(dropped)

    def _droppable(self, count: int, client: str | None) -> list[Queued[Item, Result]]:
        """Return the requests whose removal makes room for `count` items of the client.

        They are the newest ones of the client with the most items in the queue. That client keeps
        at least as many items as this one will have. Raises `QueueFullError` if that makes too
        little room. (Drop from the longest queue: Suter et al., "Buffer management schemes for
        supporting TCP in gigabit routers with per-flow queueing", 1999.)
        """
        lines = self._lines
        if len(lines) == 1 and client in lines:
            raise self._full(count)
        own = lines[client].waiting if client in lines else 0
        longest = max(islice(lines.values(), MAX_COMPARED_CLIENTS), key=_waiting, default=None)
        missing, kept = self.waiting + count - self._max_queue_size, 0
        dropped = []
        if longest is not None:
            kept = longest.waiting
            for request in reversed(longest.requests):
                if missing <= 0 or kept < own + count:
                    break
                if not request.taken and not request.future.done():
                    dropped.append(request)
                    kept -= len(request.items)
                    missing -= len(request.items)
        if missing > 0 or kept < own + count:
            raise self._full(count)
        return dropped

    def _full(self, count: int) -> QueueFullError:
        return QueueFullError(
            f"{self.waiting} images wait already and {count} more would pass the "
            f"limit of {self._max_queue_size} (setting max_queue_size); try again in a second"
        )

    async def _serve(self) -> None:
        now = asyncio.get_running_loop().time
        while await self._filled():
            started, waiting = now(), self.waiting
            batch = self._next_batch()
            taken = waiting - self.waiting
            self._observe_waits(_waits(batch))
            began = perf_counter()
            await self._answer(batch)
            if self._observe_batch is not None and taken:
                works = dict.fromkeys(part.request.work for part in batch)
                try:
                    self._observe_batch(list(works), taken, began)
                except Exception:  # no trace decides anything
                    LOST.add(1)
            await asyncio.sleep(0)  # a run that never waits must not keep the loop
            if taken:
                each = (now() - started) / taken
                self.seconds_per_item += PACE_WEIGHT * (each - self.seconds_per_item)

    def _next_batch(self) -> list[_Slice[Item, Result]]:
        """Take the next batch from the queue: an equal share of each client that waits."""
        batch: list[_Slice[Item, Result]] = []
        room = self._max_batch_size
        while room and self._lines:
            share = max(1, room // len(self._lines))
            for client in list(islice(self._lines, room)):
                line = self._lines.pop(client)
                taken = self._take(line.requests, min(room, share), batch)
                room -= taken
                line.waiting -= taken
                if line.requests:
                    self._lines[client] = line  # behind the others
        self.waiting -= self._max_batch_size - room
        return batch

    @staticmethod
    def _take(
        requests: deque[Queued[Item, Result]], room: int, batch: list[_Slice[Item, Result]]
    ) -> int:
        """Move up to `room` items into the batch, an equal share of each request.

        Returns how many were moved.
        """
        left_of_room = room
        while left_of_room and requests:
            share = max(1, left_of_room // len(requests))
            for _ in range(min(left_of_room, len(requests))):
                request = requests.popleft()
                start, left = request.taken, len(request.items) - request.taken
                request.taken = start + min(share, left)
                batch.append(_Slice(request, start, request.taken))
                left_of_room -= request.taken - start
                if request.taken < len(request.items):
                    requests.append(request)
        return room - left_of_room

    async def _filled(self) -> bool:
        """Wait until there are items to run, and up to `max_batch_delay` for a full batch.

        Returns False when closing and the queue is empty.
        """
        while not self._lines:
            if self._closing:
                return False
            await self._change()
        if self._max_batch_delay:
            with suppress(TimeoutError):
                lines = self._lines.values()
                oldest = min(request.arrived for line in lines for request in line.requests)
                async with asyncio.timeout_at(oldest + self._max_batch_delay):
                    while self.waiting < self._max_batch_size and not self._closing:
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
        has_failed = any(isinstance(result, BaseException) for result in results)
        for request, start, stop in batch:
            own = results[position : position + stop - start]
            position += stop - start
            if request.future.done():
                continue
            failed = (
                {
                    index: result
                    for index, result in enumerate(own, start)
                    if isinstance(result, BaseException)
                }
                if has_failed
                else {}
            )
            if failed:
                error = BatchFailedError(
                    "the network failed on this request; see the server's log", failed
                )
                error.__cause__ = next(iter(failed.values()))
                request.future.set_exception(error)
                continue
            request.results[start:stop] = cast(Sequence[Result], own)
            request.missing -= stop - start
            if not request.missing:
                request.future.set_result(request.results)
