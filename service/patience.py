"""How long a request may take: to arrive, and then to be answered while its client is there."""

import asyncio
from typing import Protocol

from starlette.types import Receive

from service.errors import ClientLeftError, DeadlineError, ServiceError, SlowBodyError

_UNWATCHED = 0.1  # seconds, in which most requests are answered: a task less for each of those


def too_slow(seconds: float) -> DeadlineError:
    return DeadlineError(
        f"no answer within {seconds:g} s (setting request_timeout); the server is busy"
    )


class Patient(Protocol):
    """What has so many `seconds` at first, and can be looked at."""

    seconds: float

    def look(self, now: float) -> float:
        """Is the time up? Returns for how many seconds it isn't, at least zero."""
        ...


class Rounds:
    """Looks after all that have patience, with one timer, which runs while there are any."""

    def __init__(self) -> None:
        self._patient: set[Patient] = set()
        self._timer: asyncio.TimerHandle | None = None

    def join(self, patience: Patient, loop: asyncio.AbstractEventLoop) -> None:
        self._patient.add(patience)
        if self._timer is None:
            self._timer = loop.call_later(min(_UNWATCHED, patience.seconds), self._go, loop)

    def leave(self, patience: Patient) -> None:
        self._patient.discard(patience)

    def _go(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        left = [patience.look(now) for patience in list(self._patient)]
        if self._patient:
            self._timer = loop.call_later(min(_UNWATCHED, *left), self._go, loop)


class Patience:
    """Cancels the task that has it when its time is up, or when the client has left.

    From `begin` there are `seconds` until `received` is called, and as many again until `end`. Once
    the body was received the connection is watched, where that takes a while. `end` is told the
    error that the work ended with: for a cancellation of ours it raises the reason, which is a
    `SlowBodyError`, a `DeadlineError` or a `ClientLeftError`.
    """

    def __init__(self, receive: Receive, seconds: float, rounds: Rounds) -> None:
        self.seconds = seconds
        self._receive, self._rounds = receive, rounds
        self._receiving = True
        self._reason: ServiceError | None = None
        self._watching: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self._loop = loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None  # noqa: S101 (only coroutines have patience)
        self._task, self._cancelling = task, task.cancelling()
        self._since = loop.time()
        self._rounds.join(self, loop)

    def received(self) -> None:
        """The body is there: from now on the time for the answer runs."""
        self._receiving = False
        self._since = self._loop.time()

    def end(self, error: BaseException | None) -> None:
        self._rounds.leave(self)
        if self._watching is not None:
            self._watching.cancel()
        if self._reason is not None:
            only_ours = self._task.uncancel() <= self._cancelling
            if only_ours and isinstance(error, asyncio.CancelledError):
                raise self._reason from error

    def look(self, now: float) -> float:
        left = self._since + self.seconds - now
        if left <= 0:
            self._end(self._too_slow())
            self._rounds.leave(self)
        elif not self._receiving and self._watching is None and now - self._since >= _UNWATCHED:
            self._watching = self._loop.create_task(self._await_disconnection())
        return max(0.0, left)

    async def _await_disconnection(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._end(ClientLeftError("the client closed the connection"))

    def _too_slow(self) -> ServiceError:
        if self._receiving:
            return SlowBodyError(
                f"the body did not arrive within {self.seconds:g} s (setting request_timeout)"
            )
        return too_slow(self.seconds)

    def _end(self, reason: ServiceError) -> None:
        if self._reason is None:
            self._reason = reason
            self._task.cancel()
