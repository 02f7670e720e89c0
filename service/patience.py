"""How long a request may take: to arrive, and then to be answered while its client is there."""

import asyncio

from starlette.types import Receive

from service.errors import ClientLeftError, DeadlineError, ServiceError, SlowBodyError

_UNWATCHED = 0.1  # seconds, in which most requests are answered: a task less for each of those


class Patience:
    """Cancels the task that has it when its time is up, or when the client has left.

    From `begin` there are `seconds` until `received` is called, and as many again until `end`. Once
    the body was received the connection is watched, where that takes a while. `end` is told the
    error that the work ended with: for a cancellation of ours it raises the reason, which is a
    `SlowBodyError`, a `DeadlineError` or a `ClientLeftError`.
    """

    def __init__(self, receive: Receive, seconds: float) -> None:
        self._receive, self._seconds = receive, seconds
        self._receiving = True
        self._reason: ServiceError | None = None
        self._watching: asyncio.Task[None] | None = None

    def begin(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (only coroutines have patience)
        self._task, self._cancelling = task, task.cancelling()
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + self._seconds
        self._timer = self._loop.call_later(min(_UNWATCHED, self._seconds), self._look)

    def received(self) -> None:
        """The body is there: from now on the time for the answer runs."""
        self._receiving = False
        self._deadline = self._loop.time() + self._seconds

    def end(self, error: BaseException | None) -> None:
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()
        if self._reason is not None:
            only_ours = self._task.uncancel() <= self._cancelling
            if only_ours and isinstance(error, asyncio.CancelledError):
                raise self._reason from error

    def _look(self) -> None:
        """Is the time up? Called now and then, at least when it might be."""
        left = self._deadline - self._loop.time()
        if left <= 0:
            self._end(self._too_slow())
            return
        if not self._receiving and self._watching is None:
            self._watching = self._loop.create_task(self._await_disconnection())
        soon = self._watching is None  # the body may be complete by then
        self._timer = self._loop.call_later(min(left, _UNWATCHED) if soon else left, self._look)

    async def _await_disconnection(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._end(ClientLeftError("the client closed the connection"))

    def _too_slow(self) -> ServiceError:
        if self._receiving:
            return SlowBodyError(
                f"the body did not arrive within {self._seconds:g} s (setting request_timeout)"
            )
        return DeadlineError(
            f"no answer within {self._seconds:g} s (setting request_timeout); the server is busy"
        )

    def _end(self, reason: ServiceError) -> None:
        if self._reason is None:
            self._reason = reason
            self._task.cancel()
