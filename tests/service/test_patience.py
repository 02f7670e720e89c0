"""Patience: work ends when its result is of no use any more."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from starlette.types import Message

from service.errors import ClientLeftError, DeadlineError, SlowBodyError
from service.patience import Patience, Rounds

pytestmark = pytest.mark.anyio


class Client:
    """Stays until it leaves."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}


@contextmanager
def patient(client: Client, seconds: float, rounds: Rounds | None = None) -> Iterator[Patience]:
    patience = Patience(client.receive, seconds, rounds or Rounds())
    patience.begin()
    try:
        yield patience
    except BaseException as error:
        patience.end(error)
        raise
    else:
        patience.end(None)


class Work:
    """Waits for an hour; knows whether it was cancelled."""

    cancelled = False

    async def __call__(self) -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            self.cancelled = True
            raise


async def answer(client: Client, work: Work, seconds: float, received: bool = True) -> None:
    with patient(client, seconds) as patience:
        if received:
            patience.received()
        await work()


async def test_work_in_time_is_left_alone() -> None:
    before = asyncio.all_tasks()
    with patient(Client(), 10) as patience:
        patience.received()
        await asyncio.sleep(0.15)  # watched from then on
        assert len(asyncio.all_tasks()) == len(before) + 1
    await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == before


async def test_an_error_of_the_work_comes_through() -> None:
    with pytest.raises(ZeroDivisionError), patient(Client(), 10):
        raise ZeroDivisionError


@pytest.mark.parametrize("seconds", [0.01, 0.2])
async def test_the_deadline_cancels_the_work(seconds: float) -> None:
    work = Work()
    with pytest.raises(DeadlineError, match=rf"within {seconds} s .*request_timeout"):
        await answer(Client(), work, seconds)
    assert work.cancelled
    assert not asyncio.current_task().cancelling()  # type: ignore[union-attr]


@pytest.mark.parametrize("seconds", [0.01, 0.2])
async def test_the_body_has_a_deadline_of_its_own(seconds: float) -> None:
    work = Work()
    with pytest.raises(SlowBodyError, match=rf"within {seconds} s .*request_timeout"):
        await answer(Client(), work, seconds, received=False)
    assert work.cancelled


async def test_the_answer_has_as_long_as_the_body_had() -> None:
    with patient(Client(), 0.3) as patience:
        await asyncio.sleep(0.2)
        patience.received()
        await asyncio.sleep(0.2)


async def test_a_client_that_leaves_cancels_its_work() -> None:
    client, work = Client(), Work()
    asyncio.get_running_loop().call_later(0.01, client.gone.set)
    with pytest.raises(ClientLeftError):
        await answer(client, work, 60)
    assert work.cancelled


async def test_a_connection_is_not_watched_while_its_body_is_read() -> None:
    client = Client()
    client.gone.set()
    with patient(client, 60) as patience:
        await asyncio.sleep(0.25)  # the one who reads the body would hear of it
        patience.received()


async def test_cancelling_the_request_cancels_the_work() -> None:
    work = Work()
    task = asyncio.create_task(answer(Client(), work, 60))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.cancelled


async def test_each_has_its_own_deadline() -> None:
    rounds, loop = Rounds(), asyncio.get_running_loop()
    began = loop.time()

    async def wait(seconds: float) -> float:
        with pytest.raises(SlowBodyError), patient(Client(), seconds, rounds):
            await asyncio.sleep(3600)
        return loop.time() - began

    taken = await asyncio.gather(*map(wait, (0.6, 0.15, 0.3)))
    assert all(after >= seconds for after, seconds in zip(taken, (0.6, 0.15, 0.3), strict=True))
    assert taken[1] < taken[2] < taken[0]
    await asyncio.sleep(0.15)
    with pytest.raises(SlowBodyError), patient(Client(), 0.05, rounds):  # after nobody was there
        await asyncio.sleep(3600)
