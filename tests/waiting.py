"""Waiting for a condition. No other file of the tests sleeps; `test_habits.py` checks that."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")
_PAUSE = 0.005  # seconds between two looks


def until(condition: Callable[[], Found], seconds: float = 30) -> Found:
    """Return the first true value of `condition`; an `AssertionError` if none comes in time."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"still {found!r} after {seconds} s"
        time.sleep(_PAUSE)
    return found


async def until_async(condition: Callable[[], Found], seconds: float = 30) -> Found:
    """The same, while the event loop goes on."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"still {found!r} after {seconds} s"
        await asyncio.sleep(_PAUSE)
    return found


def spend(seconds: float) -> None:
    """Let time pass where it is what is tested: a slow network, a client that is idle."""
    time.sleep(seconds)


async def spend_async(seconds: float) -> None:
    """The same, while the event loop goes on."""
    await asyncio.sleep(seconds)
