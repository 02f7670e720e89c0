"""Memory that is freed goes back to the system, in a moment without requests."""

import subprocess
import sys

import pytest

from service.process import memory
from service.process.memory import WORTH_BYTES, Trimming

pytestmark = pytest.mark.anyio


class Process:
    """Memory of a process that keeps what was freed until it is trimmed."""

    def __init__(self) -> None:
        self.used = self.resident = 10 * WORTH_BYTES
        self.quiet = True
        self.trimmed = 0
        self.trimming = Trimming(lambda: self.quiet, lambda: self.resident, self.trim)

    def trim(self) -> None:
        self.trimmed += 1
        self.resident = self.used

    async def looks(self) -> int:
        """How often it was trimmed by two more looks."""
        before = self.trimmed
        await self.trimming.look()
        await self.trimming.look()
        return self.trimmed - before


async def test_what_has_grown_is_trimmed_once() -> None:
    process = Process()
    assert await process.looks() == 0
    process.resident += WORTH_BYTES
    assert await process.looks() == 1
    assert await process.looks() == 0


async def test_what_is_used_is_not_trimmed_again_and_again() -> None:
    process = Process()
    assert await process.looks() == 0
    process.used += 3 * WORTH_BYTES  # another model, say
    process.resident = process.used
    assert await process.looks() == 1
    assert await process.looks() == 0


async def test_less_than_it_is_worth_stays() -> None:
    process = Process()
    assert await process.looks() == 0
    process.resident += WORTH_BYTES - 1
    assert await process.looks() == 0


async def test_it_waits_for_a_moment_without_requests() -> None:
    process = Process()
    assert await process.looks() == 0
    process.resident += 2 * WORTH_BYTES
    process.quiet = False
    assert await process.looks() == 0
    process.quiet = True
    assert await process.looks() == 1


async def test_growth_counts_from_the_least() -> None:
    process = Process()
    assert await process.looks() == 0
    process.resident -= 2 * WORTH_BYTES  # the system took it
    assert await process.looks() == 0
    process.resident += WORTH_BYTES
    assert await process.looks() == 1


@pytest.mark.slow
@pytest.mark.skipif(not memory.resident(), reason="the system tells no memory of processes")
def test_freed_blocks_below_a_used_one_go_back() -> None:
    program = """
from service.process import memory
blocks = [bytes(50_000) for _ in range(4000)]  # 200 MB
last = bytes(50_000)
del blocks
before = memory.resident()
memory.trim()
print(before - memory.resident())
"""
    command = [sys.executable, "-c", program]
    freed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if sys.platform == "linux":
        assert int(freed) > 100 * 2**20
