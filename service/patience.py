"""How long work for a request goes on: until its deadline, or until its client hangs up."""

import asyncio
from types import TracebackType
from typing import Self

from starlette.types import Receive

from service.errors import ClientLeftError, DeadlineError, ServiceError

_UNWATCHED = 0.1  # seconds, in which most work is done: a task less for each request


class Patience:
    """A context whose work is cancelled when the time is up, or when the client has left.

    It raises `DeadlineError` or `ClientLeftError` then. The body of the request must have been
    read; the connection is only watched where the work takes a while.
    """

    def __init__(self, receive: Receive, seconds: float) -> None:
        self._receive, self._seconds = receive, seconds
        self._reason: ServiceError | None = None
        self._watching: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (only coroutines have patience)
        self._task, self._cancelling = task, task.cancelling()
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(min(_UNWATCHED, self._seconds), self._watch)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()
        if self._reason is not None:
            only_ours = self._task.uncancel() <= self._cancelling
            if only_ours and kind is asyncio.CancelledError:
                raise self._reason from error

    def _watch(self) -> None:
        self._watching = self._loop.create_task(self._await_disconnection())
        self._timer = self._loop.call_later(max(0, self._seconds - _UNWATCHED), self._expire)

    async def _await_disconnection(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._end(ClientLeftError("the client closed the connection"))

    def _expire(self) -> None:
        self._end(
            DeadlineError(
                f"no answer within {self._seconds:g} s (setting request_timeout); the server is "
                "busy"
            )
        )

    def _end(self, reason: ServiceError) -> None:
        if self._reason is None:
            self._reason = reason
            self._task.cancel()
