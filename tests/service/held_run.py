"""Batches that wait until the test lets them go."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Generic, TypeVar

from service.inference.batcher import Batcher

Item = TypeVar("Item")
Result = TypeVar("Result")


class HeldRun(Generic[Item, Result]):
    """Takes the place of a batcher's `run`, and holds each batch until `let_go` is set.

    The events are of threads, so that a test may set them whose service runs in another one.
    """

    def __init__(self, batcher: Batcher[Item, Result]) -> None:
        self.started, self.let_go = threading.Event(), threading.Event()
        self._run = batcher.run
        batcher.run = self

    async def __call__(self, items: list[Item]) -> Sequence[Result | Exception]:
        self.started.set()
        if not self.let_go.is_set():
            assert await asyncio.to_thread(self.let_go.wait, 30)
        return await self._run(items)
