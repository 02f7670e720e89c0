"""Patience: work ends when its result is of no use any more."""

import asyncio

import pytest
from starlette.requests import Request
from starlette.types import Message

from service import patience
from service.errors import ClientLeftError, DeadlineError

pytestmark = pytest.mark.anyio


class Connection:
    """A request whose client stays until it leaves."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.request = Request({"type": "http"}, self._receive)

    async def _receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}


class Work:
    """Waits for an hour; knows whether it was cancelled."""

    cancelled = False

    async def __call__(self) -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            self.cancelled = True
            raise


async def test_a_result_in_time_is_returned() -> None:
    assert await patience.answer(Connection().request, asyncio.sleep(0, "done"), 10) == "done"


async def test_an_error_of_the_work_comes_through() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await patience.answer(Connection().request, fail(), 10)


async def test_the_deadline_cancels_the_work() -> None:
    work = Work()
    with pytest.raises(DeadlineError, match=r"within 0.01 s .*request_timeout"):
        await patience.answer(Connection().request, work(), 0.01)
    assert work.cancelled


async def test_a_client_that_leaves_cancels_its_work() -> None:
    connection, work = Connection(), Work()
    asyncio.get_running_loop().call_later(0.01, connection.gone.set)
    with pytest.raises(ClientLeftError):
        await patience.answer(connection.request, work(), 60)
    assert work.cancelled


async def test_cancelling_the_request_cancels_the_work() -> None:
    work = Work()
    task = asyncio.create_task(patience.answer(Connection().request, work(), 60))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.cancelled
