"""Clients that flood, stall, leave, or send nonsense: the others are answered, nothing stays."""

import asyncio
import random
import resource
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from benchmarks.soak import figures
from benchmarks.soak.connection import Answer, Connection, LostError, close_all, form, post
from benchmarks.soak.figures import Figures
from benchmarks.soak.hostile import mutated
from benchmarks.soak.kinds import OVERLOADED
from benchmarks.soak.oracle import LAYER, Oracle
from benchmarks.soak.process import Service
from benchmarks.soak.run import TASKS
from tests.faults.asking import answered, ask, ask_anew, connected, request
from tests.faults.conftest import Start
from tests.waiting import until, until_async

pytestmark = pytest.mark.anyio
HOSTILE, AT_A_TIME = 400, 20
CROWD = 500
UNREAD = f"/v1/models/steady/features?layer={LAYER}&values=true"


@pytest.fixture(scope="module")
def service(start: Start, published: Path) -> Iterator[Service]:
    with start(published, "--request-timeout", "10") as service:
        yield service


def is_as_before(service: Service, before: Figures, tasks: float) -> bool:
    now = figures.of(service.pid)
    told = service.metric(TASKS)
    return now.files <= before.files and now.threads <= before.threads + 1 and told == tasks


async def test_hostile_bytes_get_no_500_and_leave_nothing_behind(
    service: Service, oracle: Oracle
) -> None:
    await ask_anew(service, oracle)
    await ask_anew(service, oracle, "colours")
    good = request(oracle)

    async def send(number: int) -> list[int]:
        async with connected(service) as [connection]:
            connection.send(mutated(good, random.Random(f"hostile {number}")))
            statuses, ended = await connection.rest()
            assert ended, number
            return statuses

    async def send_all() -> list[int]:
        found: list[int] = []
        for first in range(0, HOSTILE, AT_A_TIME):
            several = await asyncio.gather(*map(send, range(first, first + AT_A_TIME)))
            found += [status for statuses in several for status in statuses]
        return found

    await send_all()  # what is started when it is first needed is there now
    await asyncio.to_thread(until, lambda: not figures.connections(service.pid, service.port))
    before, tasks = figures.of(service.pid), service.metric(TASKS)
    assert tasks is not None
    found = await send_all()
    assert {400, 404, 422} <= set(found)  # some were requests, some were not
    assert [status for status in found if status >= 500 and status not in OVERLOADED] == []
    await ask_anew(service, oracle)
    await asyncio.to_thread(until, lambda: is_as_before(service, before, tasks))


async def test_idle_and_unfinished_connections_stop_nobody(
    service: Service, oracle: Oracle
) -> None:
    before = figures.of(service.pid)
    async with connected(service, 2 * CROWD) as crowd:
        for connection in crowd[::2]:
            connection.send(b"POST /v1/models/steady/predict HTTP/1.1\r\nHost: a\r\nX-")
        for _ in range(10):
            await ask_anew(service, oracle)
        assert (await asyncio.to_thread(service.get, "/health/live"))[0] == 200
    await asyncio.to_thread(until, lambda: figures.of(service.pid).files <= before.files)
    await ask_anew(service, oracle)


@pytest.mark.thorough
async def test_a_head_that_does_not_end_is_given_up(start: Start, published: Path) -> None:
    with start(published, "--head-timeout", "1") as service:
        async with connected(service) as [connection]:
            connection.send(b"GET /health/live HTTP/1.1\r\nHost: a\r\nX-")
            async with asyncio.timeout(10):
                assert b" 408 " in await connection.reader.read()  # to the end


@pytest.mark.thorough
async def test_a_flood_is_refused_with_a_time_to_come_back(
    start: Start, published: Path, oracle: Oracle
) -> None:
    """Nobody gets anything else meanwhile, and all is right again afterwards."""
    [colours, *_] = oracle.pictures["colours"]
    body, type = form(*[colours.encoded] * 64)
    flood = post("/v1/models/colours/predict", body, type)
    with start(published, "--max-queue-size", "128") as service:
        over = asyncio.Event()

        async def push(connection: Connection) -> list[Answer]:
            answers = []
            for _ in range(4):
                for _ in range(8):
                    connection.send(flood)
                answers += [await connection.answer() for _ in range(8)]
            return answers

        async def live() -> int:
            """Other clients meanwhile: they are answered, or refused in the same way."""
            looks = 0
            while not over.is_set():
                assert (await asyncio.to_thread(service.get, "/health/live"))[0] == 200
                async with connected(service) as [connection]:
                    answer = await connection.ask(request(oracle))
                assert answer.status == 200 or answer.says_when_to_retry
                looks += 1
            return looks

        watching = asyncio.create_task(live())
        async with connected(service, 16) as connections:
            answers = [
                answer
                for several in await asyncio.gather(*map(push, connections))
                for answer in several
            ]
        over.set()
        assert await watching > 0
        assert {answer.status for answer in answers} <= {200, *OVERLOADED}
        refused = [answer for answer in answers if answer.status != 200]
        assert refused
        assert all(answer.says_when_to_retry for answer in refused if answer.status != 504)
        assert await ask_anew(service, oracle, "colours") == 1


@pytest.mark.thorough
async def test_answers_that_nobody_reads_are_given_up(
    start: Start, published: Path, oracle: Oracle
) -> None:
    """Their connections are closed, and what they held is free for the next ones."""
    body, type = form(*[oracle.pictures["steady"][0].encoded] * 32)
    unread = post(UNREAD, body, type)
    with start(published, "--send-timeout", "1") as service:
        slow = [await Connection.open(service.port, receive_buffer=4096) for _ in range(8)]
        try:
            for connection in slow:
                connection.send(unread * 4)
            held = partial(figures.connections, service.pid, service.port)
            await until_async(lambda: len(held()) >= len(slow))
            await ask_anew(service, oracle)
            await until_async(lambda: not held(), 60)
        finally:
            await close_all(slow)
        await ask_anew(service, oracle)


async def test_at_the_limit_of_open_files_old_connections_are_answered(
    start: Start, published: Path, oracle: Oracle
) -> None:
    with start(published) as service:
        room = figures.of(service.pid).files + 50
        resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (room, room))
        async with connected(service) as [old]:
            await ask(old, oracle)
            newer: list[Connection] = []
            for _ in range(200):
                try:
                    newer.append(await Connection.open(service.port))
                except LostError:
                    break
            try:
                await until_async(lambda: figures.of(service.pid).files >= room - 5)
                for model in ("steady", "colours", "swapped"):
                    for _ in range(20):
                        await ask(old, oracle, model)
                path = f"/v1/models/steady/kernels/{LAYER}"
                sent = f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
                assert (await old.ask(sent)).status == 200
            finally:
                await close_all(newer)
            await ask(old, oracle)
        await asyncio.to_thread(until, lambda: figures.of(service.pid).files < room - 20)
        await ask_anew(service, oracle)


async def test_a_client_that_leaves_or_sends_no_more_holds_nothing(
    service: Service, oracle: Oracle
) -> None:
    before = figures.of(service.pid)
    sent = request(oracle)
    for cut in range(1, len(sent), max(1, len(sent) // 60)):
        async with connected(service, 2) as [leaves, ends]:
            leaves.send(sent[:cut])
            ends.send(sent[:cut])
            statuses, ended = await ends.rest()
            assert ended
            assert all(status < 500 for status in statuses)
    async with connected(service) as [whole]:
        await answered(whole, oracle, "steady", sent)
    await asyncio.to_thread(until, lambda: figures.of(service.pid).files <= before.files)
