"""Room that requests hold: first come, first served, and given back whatever happens."""

import asyncio

import pytest

from service.errors import QueueFullError
from service.inference.admission import MemoryBudget

pytestmark = pytest.mark.anyio


async def hold(budget: MemoryBudget, units: int, order: list[int], let_go: asyncio.Event) -> None:
    async with budget.hold(units):
        order.append(units)
        await let_go.wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_fits_enters_and_the_rest_waits_its_turn() -> None:
    budget, order, let_go = MemoryBudget(10, 10), list[int](), asyncio.Event()
    tasks = [asyncio.create_task(hold(budget, n, order, let_go)) for n in (6, 4, 7, 1)]
    await settle()
    assert order == [6, 4]  # 1 doesn't pass 7
    let_go.set()
    await asyncio.gather(*tasks)
    assert order == [6, 4, 7, 1]
    assert budget.held == 0


async def test_more_than_all_counts_as_all() -> None:
    budget = MemoryBudget(10, 10)
    async with budget.hold(1000):
        assert budget.held == 10
    assert budget.held == 0


async def test_too_many_that_wait() -> None:
    budget, order, let_go = MemoryBudget(1, 1), list[int](), asyncio.Event()
    tasks = [asyncio.create_task(hold(budget, 1, order, let_go)) for _ in range(2)]
    await settle()
    with pytest.raises(QueueFullError, match="1 requests wait already"):
        async with budget.hold(1):
            pass
    let_go.set()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("freed", [False, True])
async def test_one_that_leaves_while_it_waits_holds_nothing(freed: bool) -> None:
    """Also where it leaves in the moment in which it is admitted."""
    budget, order, let_go = MemoryBudget(5, 5), list[int](), asyncio.Event()
    first = asyncio.create_task(hold(budget, 5, order, let_go))
    await settle()
    second = asyncio.create_task(hold(budget, 4, order, asyncio.Event()))
    third = asyncio.create_task(hold(budget, 3, order, let_go))
    await settle()
    if freed:
        let_go.set()
        await first
    second.cancel()
    let_go.set()
    await asyncio.gather(first, second, third, return_exceptions=True)
    assert order[-1] == 3
    assert budget.held == 0
    assert not budget.waiting
