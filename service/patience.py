"""How long work for a request goes on: until its deadline, or until its client hangs up."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from service.errors import ClientLeftError, DeadlineError

T = TypeVar("T")
_UNWATCHED = 0.1  # seconds, in which most work is done: a task less for each request


async def answer(request: Request, work: Coroutine[Any, Any, T], seconds: float) -> T:
    """The work's result; the body of the request must have been read.

    Cancels the work and raises `DeadlineError` when the time is up, `ClientLeftError` when the
    client closes the connection. The connection is only watched where the work takes a while.
    """
    tasks: set[asyncio.Future[Any]] = {task := asyncio.ensure_future(work)}
    unwatched = min(seconds, _UNWATCHED)
    try:
        await asyncio.wait(tasks, timeout=unwatched)
        if task.done():
            return task.result()
        tasks.add(left := asyncio.ensure_future(_disconnected(request)))
        await asyncio.wait(tasks, timeout=seconds - unwatched, return_when="FIRST_COMPLETED")
        if task.done():
            return task.result()
        if left.done():
            raise ClientLeftError("the client closed the connection")
        raise DeadlineError(
            f"no answer within {seconds:g} s (setting request_timeout); the server is busy"
        )
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.wait(tasks)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
