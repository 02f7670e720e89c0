"""Work that may hang (on a disk, a network file system) → a thread that nothing waits for."""

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
    """The future result of a call in a thread of its own.

    A pool would have an end: a few calls that hang would take all of its threads. The process can
    end while the thread hangs.
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
