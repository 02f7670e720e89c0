"""Time limits of a request: to receive its body, then to answer it while its client is there."""

import asyncio
from collections.abc import Callable

from service.errors import ClientLeftError, DeadlineError, ServiceError, SlowBodyError
from service.setting_values.units import show_seconds

WATCH_AFTER_SECONDS = 0.1  # most answers are quicker, and need no task that watches the connection


class DeadlineTimer:
    """Checks all deadlines of an event loop with one timer, which runs while there are any."""

    def __init__(self) -> None:
        self._deadlines: set[Deadline] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Return the number of deadlines that are being checked."""
        return len(self._deadlines)

    def add(self, deadline: "Deadline", loop: asyncio.AbstractEventLoop) -> None:
        self._deadlines.add(deadline)
        if self._timer is None:
            first = min(WATCH_AFTER_SECONDS, deadline.seconds)
            self._timer = loop.call_later(first, self._check_all, loop)

    def hasten(self, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        """Check all deadlines in `seconds`, if that was not to be earlier anyway."""
        if self._timer is not None and self._timer.when() > loop.time() + seconds:
            self._timer.cancel()
            self._timer = loop.call_later(seconds, self._check_all, loop)

    def remove(self, deadline: "Deadline") -> None:
        self._deadlines.discard(deadline)

    def _check_all(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        left = [deadline.check(now) for deadline in list(self._deadlines)]
        if self._deadlines:
            self._timer = loop.call_later(min(WATCH_AFTER_SECONDS, *left), self._check_all, loop)


class Deadline:
    """The time limits of one request: gives it up when they pass, or when its client leaves.

    The body must arrive within `seconds` of `begin`. The answer must be ready within as many
    seconds of `received`, or within the time that `allow` sets. `give_up` is called with the reason
    (`SlowBodyError`, `DeadlineError` or `ClientLeftError`), at most once, and never after `end`.
    `watch` is called once if the answer takes longer than `WATCH_AFTER_SECONDS`; it may start to
    watch the connection, and then calls `client_left` when the client leaves.
    """

    __slots__ = ("_give_up", "_limit", "_receiving", "_since", "_timer", "_watch", "seconds")

    def __init__(
        self,
        seconds: float,
        timer: DeadlineTimer,
        give_up: Callable[[ServiceError], None],
        watch: Callable[[], None] | None = None,
    ) -> None:
        self.seconds = seconds
        self._limit = "setting request_timeout"
        self._timer, self._watch = timer, watch
        self._give_up: Callable[[ServiceError], None] | None = give_up

    def begin(self, *, received: bool = False) -> None:
        """Start the time for the body, or for the answer if the body was already `received`."""
        loop = asyncio.get_running_loop()
        self._receiving = not received
        self._since = loop.time()
        self._timer.add(self, loop)

    def received(self) -> None:
        """Note that the body has arrived, and start the time for the answer."""
        self._receiving = False
        self._since = asyncio.get_running_loop().time()

    def allow(self, seconds: float, limit: str) -> None:
        """Replace the deadline: the answer must be ready within `seconds` from now.

        The body must have arrived. `limit` names the setting or parameter in the error's text.
        """
        self.received()
        self.seconds, self._limit = seconds, limit
        self._timer.hasten(seconds, asyncio.get_running_loop())

    def client_left(self) -> None:
        self._stop(ClientLeftError("the client closed the connection"))

    def end(self) -> None:
        """End the deadline with its request; calling it again changes nothing.

        Drops the callbacks, since they hold the request, which holds this deadline.
        """
        self._give_up = self._watch = None
        self._timer.remove(self)

    def check(self, now: float) -> float:
        """Give the request up if its time is over, and call `watch` if that is due.

        Returns the seconds until the deadline, 0 if it has passed. `now` is the event loop's time.
        """
        left = self._since + self.seconds - now
        if left <= 0:
            self._stop(self._too_slow())
        elif self._watch and not self._receiving and now - self._since >= WATCH_AFTER_SECONDS:
            watch, self._watch = self._watch, None
            watch()
        return max(0.0, left)

    def _stop(self, reason: ServiceError) -> None:
        give_up = self._give_up
        self.end()
        if give_up is not None:
            give_up(reason)

    def _too_slow(self) -> ServiceError:
        if self._receiving:
            return SlowBodyError(
                f"the body did not arrive within {show_seconds(self.seconds)} "
                "(setting request_timeout)"
            )
        return DeadlineError(
            f"no answer within {show_seconds(self.seconds)} ({self._limit}): the server is busy, "
            "or what was asked takes longer; ask for less, or try again later"
        )
