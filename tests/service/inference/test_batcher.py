"""Batching: what one client does never shows in another client's answer."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

import pytest

from service.errors import QueueFullError, UnavailableError
from service.inference.batcher import Batcher, BatchFailedError
from tests.waiting import until_async

pytestmark = pytest.mark.anyio


class Squares:
    """A runner that squares numbers, remembers its batches, and waits while it is held."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.started, self.free = asyncio.Event(), asyncio.Event()
        self.free.set()

    async def __call__(self, items: list[int]) -> Sequence[int]:
        self.batches.append(items)
        self.started.set()
        await self.free.wait()
        await asyncio.sleep(0)
        if 13 in items:
            raise ZeroDivisionError("thirteen")
        return [item * item for item in items]


def squares_batcher(
    run: Callable[[list[int]], Awaitable[Sequence[int]]],
    max_batch_size: int = 4,
    max_queue_size: int = 100,
    max_batch_delay: float = 0.0,
) -> Batcher[int, int]:
    return Batcher(
        run,
        max_batch_size=max_batch_size,
        max_queue_size=max_queue_size,
        max_batch_delay=max_batch_delay,
    )


async def turns(number: int) -> None:
    """Let every other task have that many turns."""
    for _ in range(number):
        await asyncio.sleep(0)


async def settle() -> None:
    """Let every task run until it waits."""
    await turns(20)


async def test_an_idle_batcher_runs_at_once() -> None:
    squares = Squares()
    async with squares_batcher(squares) as batcher:
        assert await batcher.submit([3]) == [9]
    assert squares.batches == [[3]]


async def test_a_busy_batcher_gathers_what_comes_meanwhile() -> None:
    squares = Squares()
    async with squares_batcher(squares) as batcher:
        squares.free.clear()
        tasks = [asyncio.create_task(batcher.submit([0]))]
        await settle()
        tasks += [asyncio.create_task(batcher.submit([n])) for n in (1, 2, 3)]
        await settle()
        squares.free.set()
        assert await asyncio.gather(*tasks) == [[0], [1], [4], [9]]
    assert squares.batches == [[0], [1, 2, 3]]


async def test_a_large_request_is_split_and_keeps_its_order() -> None:
    squares = Squares()
    async with squares_batcher(squares, max_batch_size=4) as batcher:
        assert await batcher.submit(range(10)) == [n * n for n in range(10)]
    assert [len(batch) for batch in squares.batches] == [4, 4, 2]


async def test_a_delay_waits_for_a_full_batch() -> None:
    squares = Squares()
    async with squares_batcher(squares, max_batch_size=2, max_batch_delay=60) as batcher:
        first = asyncio.create_task(batcher.submit([1]))
        await settle()
        assert squares.batches == []
        assert await batcher.submit([2]) == [4]
        assert await first == [1]
    assert squares.batches == [[1, 2]]


async def test_a_delay_ends_without_a_full_batch() -> None:
    async with squares_batcher(Squares(), max_batch_delay=0.01) as batcher:
        assert await batcher.submit([5]) == [25]


async def test_a_full_queue_refuses_the_whole_request() -> None:
    squares = Squares()
    async with squares_batcher(squares, max_queue_size=3) as batcher:
        squares.free.clear()
        running = asyncio.create_task(batcher.submit([0]))
        await settle()
        waiting = asyncio.create_task(batcher.submit([1, 2]))
        await settle()
        with pytest.raises(QueueFullError, match=r"2 images wait .* 2 more .* limit of 3"):
            await batcher.submit([3, 4])
        last = asyncio.create_task(batcher.submit([5]))
        await settle()
        squares.free.set()
        assert [await running, await waiting, await last] == [[0], [1, 4], [25]]


async def test_a_cancelled_request_leaves_the_queue_and_its_room() -> None:
    squares = Squares()
    async with squares_batcher(squares, max_queue_size=2) as batcher:
        squares.free.clear()
        running = asyncio.create_task(batcher.submit([0]))
        await settle()
        cancelled = asyncio.create_task(batcher.submit([1, 2]))
        await settle()
        cancelled.cancel()
        await settle()
        other = asyncio.create_task(batcher.submit([3, 4]))
        await settle()
        squares.free.set()
        assert [await running, await other] == [[0], [9, 16]]
    assert squares.batches == [[0], [3, 4]]


async def test_a_request_cancelled_in_its_batch_harms_no_neighbour() -> None:
    squares = Squares()
    squares.free.clear()
    async with squares_batcher(squares, max_batch_delay=0.01) as batcher:
        leaves = asyncio.create_task(batcher.submit([2]))
        stays = asyncio.create_task(batcher.submit([3]))
        await squares.started.wait()
        leaves.cancel()
        await settle()
        squares.free.set()
        assert await stays == [9]
    assert squares.batches == [[2, 3]]


async def test_a_failing_run_fails_its_batch_only() -> None:
    async with squares_batcher(Squares()) as batcher:
        with pytest.raises(BatchFailedError) as failure:
            await batcher.submit([13])
        assert isinstance(failure.value.__cause__, ZeroDivisionError)
        assert await batcher.submit([4]) == [16]


async def test_a_request_that_failed_in_part_leaves_nothing_behind() -> None:
    squares = Squares()
    async with squares_batcher(squares, max_batch_size=1) as batcher:
        with pytest.raises(BatchFailedError):
            await batcher.submit([13, *range(50)])
        assert await batcher.submit([4]) == [16]
    assert [49] not in squares.batches


async def test_an_exception_among_the_results_fails_its_request_only() -> None:
    async def roots(items: list[int]) -> Sequence[int | Exception]:
        return [ArithmeticError(item) if item < 0 else round(item**0.5) for item in items]

    async with Batcher[int, int](
        roots, max_batch_size=4, max_queue_size=9, max_batch_delay=0.05
    ) as batcher:
        tasks = [asyncio.create_task(batcher.submit([n])) for n in (4, -1, 9)]
        await asyncio.wait(tasks)
    assert (tasks[0].result(), tasks[2].result()) == ([2], [3])
    assert isinstance(tasks[1].exception(), BatchFailedError)


async def test_a_run_that_is_cancelled_leaves_nobody_waiting() -> None:
    async def cancelled(items: list[int]) -> Sequence[int]:
        raise asyncio.CancelledError

    batcher = await squares_batcher(cancelled).__aenter__()
    with pytest.raises(BatchFailedError):
        await batcher.submit([1])
    await settle()
    with pytest.raises(UnavailableError, match="doesn't run"):
        await batcher.submit([2])
    await batcher.__aexit__()


async def test_waiting_for_a_full_batch_counts_from_arrival(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What has waited while the runner was busy doesn't wait for the delay again."""
    squares = Squares()
    now = asyncio.get_running_loop().time
    async with squares_batcher(squares, max_batch_size=2, max_batch_delay=600) as batcher:
        squares.free.clear()
        running = asyncio.create_task(batcher.submit([1, 2]))
        await squares.started.wait()
        waiting = asyncio.create_task(batcher.submit([3]))
        await until_async(lambda: batcher.waiting)
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now() + 600)
        squares.free.set()
        async with asyncio.timeout(30):
            assert await waiting == [9]
        await running


async def test_results_that_do_not_match_the_items_are_an_error() -> None:
    async def short(items: list[int]) -> Sequence[int]:
        return items[1:]

    async with squares_batcher(short) as batcher:
        with pytest.raises(BatchFailedError) as failure:
            await batcher.submit([1, 2])
        assert "1 results for 2 items" in str(failure.value.__cause__)


async def test_closing_finishes_what_is_queued_and_refuses_the_rest() -> None:
    squares = Squares()
    squares.free.clear()
    batcher = await squares_batcher(squares, max_batch_size=1).__aenter__()
    tasks = [asyncio.create_task(batcher.submit([n])) for n in range(3)]
    await settle()
    closing = asyncio.create_task(batcher.__aexit__())
    await settle()
    with pytest.raises(UnavailableError, match="not any more"):
        await batcher.submit([9])
    squares.free.set()
    await closing
    assert [task.result() for task in tasks] == [[0], [1], [4]]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
async def test_any_interleaving_gives_each_request_its_own_results(seed: int) -> None:
    """Requests of random sizes come, wait, fail and leave at random; answers are never swapped."""
    chance = random.Random(seed)

    async def run(items: list[int]) -> Sequence[int]:
        await turns(chance.choice([0, 0, 4]))
        if chance.random() < 0.05:
            raise ConnectionError
        return [item * item for item in items]

    async def client(batcher: Batcher[int, int], number: int) -> str:
        await turns(chance.randrange(100))
        items = [number * 100 + i for i in range(chance.randint(1, 12))]
        task = asyncio.create_task(batcher.submit(items))
        if chance.random() < 0.2:
            await turns(chance.randrange(20))
            task.cancel()
        try:
            results = await task
        except BatchFailedError:
            return "failed"
        except asyncio.CancelledError:
            return "cancelled"
        assert results == [item * item for item in items]
        return "answered"

    async with squares_batcher(run, max_batch_size=8, max_queue_size=10_000) as batcher:
        outcomes = await asyncio.gather(*(client(batcher, number) for number in range(200)))
    assert outcomes.count("answered") > 50
    assert {"answered", "failed", "cancelled"} == set(outcomes)


async def test_requests_share_a_batch_alike() -> None:
    squares = Squares()
    squares.free.clear()
    async with squares_batcher(squares, max_batch_size=6, max_queue_size=100) as batcher:
        tasks = [asyncio.create_task(batcher.submit([0]))]
        await settle()
        tasks += [asyncio.create_task(batcher.submit(range(20, 40))) for _ in range(2)]
        tasks += [asyncio.create_task(batcher.submit([n])) for n in (1, 2)]
        await settle()
        squares.free.set()
        await asyncio.gather(*tasks)
    assert squares.batches[:3] == [[0], [20, 20, 1, 2, 21, 21], [22, 23, 24, 22, 23, 24]]


async def test_clients_share_a_batch_alike_however_many_requests_they_have() -> None:
    squares = Squares()
    squares.free.clear()
    async with squares_batcher(squares, max_batch_size=6, max_queue_size=100) as batcher:
        tasks = [asyncio.create_task(batcher.submit([0]))]
        await settle()
        for number in range(20, 28):
            tasks.append(asyncio.create_task(batcher.submit([number], "many")))
        tasks.append(asyncio.create_task(batcher.submit(range(40, 45), "large")))
        tasks.append(asyncio.create_task(batcher.submit([1], "one")))
        await settle()
        squares.free.set()
        await asyncio.gather(*tasks)
    assert squares.batches[:3] == [[0], [20, 21, 40, 41, 1, 22], [42, 43, 44, 23, 24, 25]]


async def test_a_full_queue_drops_the_newest_of_the_client_with_most() -> None:
    squares = Squares()
    squares.free.clear()
    async with squares_batcher(squares, max_queue_size=6) as batcher:
        running = asyncio.create_task(batcher.submit([0]))
        await settle()
        many = [asyncio.create_task(batcher.submit([n, n], "many")) for n in (1, 2, 3)]
        await settle()
        few = asyncio.create_task(batcher.submit([7], "few"))
        await settle()
        with pytest.raises(QueueFullError):
            await many[2]
        assert batcher.waiting == 5
        also_few = asyncio.create_task(batcher.submit([8], "few"))  # there was room left
        await settle()
        for client in ("few", "many"):  # either would have more than the other keeps
            with pytest.raises(QueueFullError, match="6 images wait already"):
                batcher.check_room(1, client)
            with pytest.raises(QueueFullError):
                await batcher.submit([9], client)
        batcher.check_room(1, "new")
        assert batcher.waiting == 6
        squares.free.set()
        assert [await each for each in (running, *many[:2], few, also_few)] == [
            [0],
            [1, 1],
            [4, 4],
            [49],
            [64],
        ]


async def test_a_request_that_runs_already_is_not_dropped() -> None:
    squares = Squares()
    squares.free.clear()
    async with squares_batcher(squares, max_batch_size=2, max_queue_size=6) as batcher:
        large = asyncio.create_task(batcher.submit(range(8)[:6], "many"))
        await squares.started.wait()
        more = asyncio.create_task(batcher.submit([6, 7], "many"))
        await settle()
        few = asyncio.create_task(batcher.submit([8], "few"))
        await settle()
        with pytest.raises(QueueFullError):
            await more
        with pytest.raises(QueueFullError):
            await batcher.submit(range(4), "new")
        squares.free.set()
        assert await large == [n * n for n in range(6)]
        assert await few == [64]


async def test_the_pace_is_that_of_the_last_batches(anyio_backend: str) -> None:
    squares = Squares()
    async with squares_batcher(squares) as batcher:
        loop = asyncio.get_running_loop()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "time", iter(range(0, 10**6, 8)).__next__)  # a batch takes 8 s
            for _ in range(100):
                queued = [batcher.enqueue([n]) for n in range(4)]
                await asyncio.gather(*(each.future for each in queued))
        await settle()
        assert batcher.seconds_per_item > 1.9


async def test_a_single_item_waits_for_one_batch_only() -> None:
    squares = Squares()
    async with squares_batcher(squares, max_batch_size=4, max_queue_size=1000) as batcher:
        many = asyncio.create_task(batcher.submit(range(100, 500)))
        await squares.started.wait()
        assert await batcher.submit([3]) == [9]
        assert len(squares.batches) <= 3
        await many


async def test_a_run_that_never_waits_lets_others_in() -> None:
    async def run_without_waiting(items: list[int]) -> Sequence[int]:
        batches.append(len(items))
        return items

    batches: list[int] = []
    async with squares_batcher(run_without_waiting, max_batch_size=1) as batcher:
        many = asyncio.create_task(batcher.submit(range(100)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(batches) < 5
        await many


async def test_a_request_that_leaves_makes_room_for_what_it_had_left() -> None:
    squares = Squares()
    squares.free.clear()
    async with squares_batcher(squares, max_batch_size=2, max_queue_size=4) as batcher:
        leaves = asyncio.create_task(batcher.submit([1, 2, 3, 4]))
        await squares.started.wait()
        leaves.cancel()
        await settle()
        stays = asyncio.create_task(batcher.submit([5, 6, 7, 8]))
        await settle()
        squares.free.set()
        assert await stays == [25, 36, 49, 64]
    assert squares.batches == [[1, 2], [5, 6], [7, 8]]


async def test_nothing_asked_is_nothing_answered() -> None:
    async with squares_batcher(Squares()) as batcher:
        assert await batcher.submit([]) == []
