"""Receptions: the work on a request is cancelled when its result is of no use any more."""

import asyncio
from collections.abc import Iterable, MutableMapping
from time import perf_counter
from typing import Any

import pytest

from service.deadlines import DeadlineTimer
from service.errors import ClientLeftError, DeadlineError, SlowBodyError
from service.images.encoded import EncodedImage
from service.monitoring.work import begin
from service.requests.bodies import BodyLimits
from service.requests.reception import Reception
from service.settings import Settings
from tests.waiting import until_async

pytestmark = pytest.mark.anyio
IMAGE = EncodedImage(b"x", "image/png", "")


class Client:
    """Sends a body of one byte, if it sends one, and stays until it leaves."""

    def __init__(self, sends: bool = True) -> None:
        self._sends = sends
        self.gone = asyncio.Event()

    async def receive(self) -> MutableMapping[str, Any]:
        if self._sends:
            self._sends = False
            return {"type": "http.request", "body": b"x"}
        await self.gone.wait()
        return {"type": "http.disconnect"}


class Body:
    """One image of one byte."""

    def feed(self, chunk: bytes, more: bool) -> Iterable[None]:
        assert (chunk, more) == (b"x", False)
        return ()

    def images(self) -> list[EncodedImage]:
        return [IMAGE]


class Work:
    """Never ends; remembers whether it was cancelled."""

    cancelled = False

    async def __call__(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


class Limits(BodyLimits):
    def body(self, *_: object) -> Any:
        return Body()


LIMITS = Limits(Settings())


def received(client: Client, seconds: float, timer: DeadlineTimer | None = None) -> Reception:
    return Reception({"headers": []}, LIMITS, client.receive, seconds, timer or DeadlineTimer())


async def answer(client: Client, work: Work, seconds: float) -> None:
    async with received(client, seconds):
        await work()


async def test_work_in_time_is_left_alone() -> None:
    before, timer = asyncio.all_tasks(), DeadlineTimer()
    async with received(Client(), 10, timer) as images:
        assert images == [IMAGE]
        assert LIMITS.held == 1
        await until_async(lambda: len(asyncio.all_tasks()) > len(before))  # it is watched
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    assert LIMITS.held == 0
    assert not len(timer)


async def test_its_work_knows_when_the_whole_body_had_arrived() -> None:
    times = list[float]()

    async def receive() -> MutableMapping[str, Any]:
        times.append(perf_counter())
        return {"type": "http.request", "body": b"x", "more_body": len(times) < 3}

    class Parsed(Body):
        def __init__(self, *_: object) -> None: ...

        def feed(self, _chunk: bytes, _more: bool) -> Iterable[None]:
            times.append(perf_counter())
            return ()

    scope: dict[str, Any] = {"headers": []}
    reception = Reception(scope, LIMITS, receive, 10, DeadlineTimer(), Parsed)
    work = reception.begin("xo", 1)
    async with reception as images:
        work.received(len(images), 1)
    assert times == sorted(times)
    assert len(times) == 4
    assert times[2] <= work.arrived <= times[3] <= work.started
    assert begin(scope, "xo", 1).arrived == work.arrived  # a later step keeps it


async def test_an_error_of_the_work_comes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        async with received(Client(), 10):
            raise ZeroDivisionError
    assert LIMITS.held == 0


async def test_the_deadline_cancels_the_work() -> None:
    work = Work()
    with pytest.raises(DeadlineError):
        await answer(Client(), work, 0.01)
    assert work.cancelled
    assert not asyncio.current_task().cancelling()  # type: ignore[union-attr]


async def test_a_body_that_does_not_come_is_given_up() -> None:
    with pytest.raises(SlowBodyError):
        await answer(Client(sends=False), Work(), 0.01)
    assert not asyncio.current_task().cancelling()  # type: ignore[union-attr]


async def test_a_client_that_leaves_cancels_its_work() -> None:
    client, work = Client(), Work()
    asyncio.get_running_loop().call_later(0.01, client.gone.set)
    with pytest.raises(ClientLeftError, match="closed the connection"):
        await answer(client, work, 60)
    assert work.cancelled


async def test_a_client_that_leaves_before_its_body_is_there() -> None:
    client = Client(sends=False)
    client.gone.set()
    with pytest.raises(ClientLeftError, match="before its body"):
        await answer(client, Work(), 60)


async def test_cancelling_the_request_cancels_the_work() -> None:
    work = Work()
    task = asyncio.create_task(answer(Client(), work, 60))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert LIMITS.held == 0


async def test_a_cancellation_from_outside_wins_over_the_reason() -> None:
    """A server that shuts down cancels the task: that must not become an answer."""
    work = Work()

    async def both() -> None:
        task = asyncio.current_task()
        assert task is not None
        async with received(Client(), 60) as _:
            task.cancel()
            await work()

    with pytest.raises(asyncio.CancelledError):
        await both()
    assert work.cancelled
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()
