"""Threads for one kind of work: bounded, and in nobody else's way."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from service.errors import QueueFullError
from service.inference.pool import Pool
from tests.waiting import until_async

pytestmark = pytest.mark.anyio


@pytest.fixture
def pool() -> Iterator[Pool]:
    with closing(Pool("kernels", 1, 2, "max_inspect_queue_size")) as pool:
        yield pool


async def answered(pool: Pool, work: threading.Event) -> bool:
    with pool.place():
        return await pool.run(work.wait, 30)


async def test_work_is_done_on_a_thread(pool: Pool) -> None:
    assert await pool.run(threading.get_ident) != threading.get_ident()


async def test_an_error_comes_through(pool: Pool) -> None:
    with pytest.raises(ZeroDivisionError), pool.place():
        await pool.run(divmod, 1, 0)
    assert pool.taken == 0


async def test_more_requests_than_places_are_refused(pool: Pool) -> None:
    work = threading.Event()
    requests = [asyncio.create_task(answered(pool, work)) for _ in range(2)]
    await until_async(lambda: pool.taken == 2)
    with pytest.raises(QueueFullError, match=r"at most 2 may \(setting max_inspect_queue_size\)"):
        await answered(pool, work)
    work.set()
    assert await asyncio.gather(*requests) == [True, True]
    assert await answered(pool, work)


async def test_what_nobody_waits_for_is_not_done(pool: Pool) -> None:
    work = threading.Event()
    done: list[int] = []
    first = asyncio.create_task(answered(pool, work))

    async def second() -> None:
        with pool.place():
            await pool.run(done.append, 1)

    other = asyncio.create_task(second())
    await until_async(lambda: pool.taken == 2)
    other.cancel()
    with pytest.raises(asyncio.CancelledError):
        await other
    assert pool.taken == 1
    work.set()
    assert await first
    await pool.run(int)  # behind it, in the same thread
    assert not done
