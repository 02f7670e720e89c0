"""A client whose images take long is the only one that waits for all of them."""

import asyncio

import pytest

from service.errors import QueueFullError
from service.images.fair_turns import FairTurns

pytestmark = pytest.mark.anyio


class Work:
    """Takes turns, each of which lasts until it is ended, and notes whose turns began."""

    def __init__(self, turns: FairTurns | None = None) -> None:
        self.turns = turns or FairTurns(1, 1000.0, 0.1)
        self.began: list[str] = []
        self._ends: list[asyncio.Event] = []

    def start(self, client: str) -> "asyncio.Task[None]":
        async def taken() -> None:
            async with self.turns.turn(client):
                self.began.append(client)
                end = asyncio.Event()
                self._ends.append(end)
                await end.wait()

        return asyncio.create_task(taken())

    async def end_one(self) -> None:
        self._ends.pop(0).set()
        for _ in range(5):
            await asyncio.sleep(0)


async def test_clients_take_turns() -> None:
    work = Work()
    tasks = [work.start(client) for client in "aaaabbc"]
    await asyncio.sleep(0)
    for _ in tasks:
        await work.end_one()
    await asyncio.gather(*tasks)
    assert "".join(work.began) == "aabcaba"


@pytest.mark.parametrize("size", [1, 2, 3])
async def test_no_more_than_that_many_at_a_time(size: int) -> None:
    work = Work(FairTurns(size, 1000.0, 0.1))
    tasks = [work.start("a") for _ in range(5)]
    await asyncio.sleep(0)
    assert len(work.began) == size
    for count in range(size + 1, 6):
        await work.end_one()
        assert len(work.began) == count
    for _ in range(size):
        await work.end_one()
    await asyncio.gather(*tasks)


async def test_who_leaves_gives_the_turn_to_the_next() -> None:
    work = Work()
    tasks = [work.start(client) for client in "abcd"]
    await asyncio.sleep(0)
    for leaving in tasks[1:3]:
        leaving.cancel()
    await work.end_one()
    assert work.began == ["a", "d"]
    tasks[3].cancel()  # in its turn
    await asyncio.gather(*tasks, return_exceptions=True)
    last = work.start("e")
    await asyncio.sleep(0)
    assert work.began == ["a", "d", "e"]
    last.cancel()


async def test_who_would_wait_too_long_is_refused_and_others_are_not() -> None:
    now = 0.0
    work = Work(FairTurns(1, 0.5, 0.1, lambda: now))
    tasks = [work.start("a") for _ in range(6)]
    await asyncio.sleep(0)
    with pytest.raises(QueueFullError, match=r"more than 500 ms \(setting max_queue_wait\)"):
        await work.start("a")
    other = work.start("b")
    await asyncio.sleep(0)
    for _ in range(7):
        await work.end_one()
    await asyncio.gather(*tasks, other)
    assert "".join(work.began) == "aabaaaa"


@pytest.mark.parametrize(("seconds", "refused"), [(0.0, 1), (2.0, 6)])
async def test_how_long_turns_take_is_learned(seconds: float, refused: int) -> None:
    now = 0.0
    work = Work(FairTurns(1, 0.5, 0.1, lambda: now))
    first = work.start("a")
    await asyncio.sleep(0)
    now = seconds
    await work.end_one()
    tasks = [work.start("a") for _ in range(8)]
    await asyncio.sleep(0)
    assert sum(each.done() for each in tasks) == refused
    for each in (first, *tasks):
        each.cancel()
    await asyncio.gather(first, *tasks, return_exceptions=True)


async def test_who_left_is_not_waited_for() -> None:
    now = 0.0
    work = Work(FairTurns(1, 0.5, 0.1, lambda: now))
    first = work.start("a")
    left = [work.start("a") for _ in range(4)]
    await asyncio.sleep(0)
    for each in left:
        each.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    others = [work.start("a") for _ in range(4)]
    await asyncio.sleep(0)
    assert not any(each.done() for each in others)
    for _ in range(5):
        await work.end_one()
    await asyncio.gather(first, *others)


async def test_who_leaves_at_the_end_of_the_turn_before() -> None:
    work = Work()
    first, leaving, last = (work.start(client) for client in "abc")
    await asyncio.sleep(0)
    leaving.cancel()  # its task has not run again when the turn ends
    await work.end_one()
    assert work.began == ["a", "c"]
    await work.end_one()
    await asyncio.gather(first, leaving, last, return_exceptions=True)
    again = work.start("b")
    await asyncio.sleep(0)
    assert work.began == ["a", "c", "b"]
    again.cancel()
