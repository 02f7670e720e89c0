"""Threads for work that may hang (on a disk, a network file system); nothing waits for them."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar, TypeVarTuple

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


def start(
    function: Callable[[*Arguments], Result], *arguments: *Arguments
) -> asyncio.Future[Result]:
    """Call a function in a new thread, and return a future for its result.

    A thread pool would run out of threads once enough calls hang. The process can end while such a
    thread hangs, since it is a daemon.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: BaseException | None) -> None:
        if future.done():  # cancelled: nobody waits any more
            return
        if error is None:
            future.set_result(result)  # type: ignore[arg-type] # it is the call's
        else:
            future.set_exception(error)

    def work() -> None:
        result, failed = None, None
        try:
            result = function(*arguments)
        except BaseException as error:
            failed = error
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result, failed)

    threading.Thread(target=work, name="repository", daemon=True).start()
    return future
