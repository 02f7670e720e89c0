"""Deadlines: a request is given up once, with a reason, when its answer is of no use any more."""

import asyncio

import pytest

from service.deadlines import Deadline, DeadlineTimer
from service.errors import ClientLeftError, DeadlineError, ServiceError, SlowBodyError
from service.setting_values.units import show_seconds

pytestmark = pytest.mark.anyio


class Request:
    """Remembers why it was given up, and whether its connection is watched."""

    def __init__(self, seconds: float, timer: DeadlineTimer | None = None) -> None:
        self.reasons: list[ServiceError] = []
        self.given_up = asyncio.Event()
        self.watched = 0
        self.timer = timer or DeadlineTimer()
        self.deadline = Deadline(seconds, self.timer, self._give_up, self._watch)
        self.deadline.begin()

    def _give_up(self, reason: ServiceError) -> None:
        self.reasons.append(reason)
        self.given_up.set()

    def _watch(self) -> None:
        self.watched += 1


@pytest.mark.parametrize("seconds", [0.01, 0.2])
async def test_the_answer_has_a_deadline(seconds: float) -> None:
    request = Request(seconds)
    request.deadline.received()
    await asyncio.wait_for(request.given_up.wait(), 5)
    [reason] = request.reasons
    assert isinstance(reason, DeadlineError)
    assert f"within {show_seconds(seconds)} (" in reason.detail
    assert "request_timeout" in reason.detail
    assert not len(request.timer)


async def test_an_answer_may_be_allowed_more_time() -> None:
    request, now = Request(10), asyncio.get_running_loop().time()
    request.deadline.allow(300, "setting progress_timeout")
    assert request.deadline.check(now + 299) > 0
    assert request.deadline.check(now + 301) == 0
    [reason] = request.reasons
    assert "within 300 s (setting progress_timeout)" in reason.detail


async def test_an_answer_may_be_allowed_less_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.deadlines.WATCH_AFTER_SECONDS", 60)  # the next check, otherwise
    request = Request(100)
    request.deadline.allow(0.01, "timeout of the request")
    await asyncio.wait_for(request.given_up.wait(), 5)
    [reason] = request.reasons
    assert "within 10 ms (timeout of the request)" in reason.detail


@pytest.mark.parametrize("seconds", [0.01, 0.2])
async def test_the_body_has_a_deadline_of_its_own(seconds: float) -> None:
    request = Request(seconds)
    await asyncio.wait_for(request.given_up.wait(), 5)
    [reason] = request.reasons
    assert isinstance(reason, SlowBodyError)
    assert f"within {show_seconds(seconds)} (" in reason.detail
    assert request.watched == 0  # the one who reads the body hears when the client leaves


async def test_the_answer_has_as_long_as_the_body_had() -> None:
    request, loop = Request(10), asyncio.get_running_loop()
    began = loop.time()
    assert request.deadline.check(began + 9) > 0
    with pytest.MonkeyPatch.context() as later:
        later.setattr(loop, "time", lambda: began + 9)
        request.deadline.received()
    assert request.deadline.check(began + 18) > 0
    assert request.deadline.check(began + 20) == 0
    request.deadline.end()


async def test_a_request_is_given_up_once() -> None:
    request = Request(10)
    request.deadline.received()
    request.deadline.client_left()
    request.deadline.client_left()
    assert request.deadline.check(asyncio.get_running_loop().time() + 20) == 0
    [reason] = request.reasons
    assert isinstance(reason, ClientLeftError)


async def test_a_request_that_has_ended_is_not_given_up() -> None:
    request = Request(10)
    request.deadline.end()
    request.deadline.client_left()
    request.deadline.end()
    assert not request.reasons
    assert not len(request.timer)


async def test_a_connection_is_watched_once_if_the_answer_takes_long() -> None:
    request, now = Request(10), asyncio.get_running_loop().time
    request.deadline.received()
    request.deadline.check(now())
    assert request.watched == 0
    for later in (0.2, 0.3):
        request.deadline.check(now() + later)
    assert request.watched == 1
    request.deadline.end()


@pytest.mark.slow
async def test_each_has_its_own_deadline() -> None:
    timer, given_up = DeadlineTimer(), list[float]()

    async def wait(seconds: float) -> None:
        await asyncio.wait_for(Request(seconds, timer).given_up.wait(), 5)
        given_up.append(seconds)

    await asyncio.gather(*map(wait, (0.6, 0.15, 0.3)))
    assert given_up == [0.15, 0.3, 0.6]
    await wait(0.05)  # after a time without any
    assert given_up[-1] == 0.05
