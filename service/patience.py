"""How long work for a request goes on: until its deadline, or until its client hangs up."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from service.errors import ClientLeftError, DeadlineError

T = TypeVar("T")


async def answer(request: Request, work: Coroutine[Any, Any, T], seconds: float) -> T:
    """The work's result; the body of the request must have been read.

    Cancels the work and raises `DeadlineError` when the time is up, `ClientLeftError` when the
    client closes the connection.
    """
    task = asyncio.ensure_future(work)
    left = asyncio.ensure_future(_disconnected(request))
    try:
        done, _ = await asyncio.wait({task, left}, timeout=seconds, return_when="FIRST_COMPLETED")
        if task in done:
            return task.result()
        if left in done:
            raise ClientLeftError("the client closed the connection")
        raise DeadlineError(
            f"no answer within {seconds:g} s (setting request_timeout); the server is busy"
        )
    finally:
        task.cancel()
        left.cancel()
        await asyncio.wait({task, left})


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
