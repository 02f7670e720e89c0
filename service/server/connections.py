"""Limits on connections: how long each may keep the server waiting, and how many there may be.

A client may take long to send a request, to end the request's head, or to read its answer. A timer
checks all connections of a server about once a second, and closes those that have passed a limit.
So the limits cost no time per request.
When there are `max_connections` already, the connections that have kept the server waiting longest
are closed to make room for new ones. If none has done so for a second, the new one is refused.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Protocol

MIN_RATE = 2**14  # bytes a second that the client of a long answer has to take
GOODBYE_SECONDS = 2.0  # for a client to read the last answer of a connection, and to close it
MAX_LOOK_SECONDS = 1.0  # between two looks at all connections
IDLE_SECONDS = 1.0  # of a connection that makes room for a new one
MAX_REFUSED = 32  # connections too many that get time to read why; others are broken off
_BETWEEN_SEARCHES = 0.1  # seconds between two searches for connections that make room
_SEARCH_FRACTION = 16  # a search ends one connection of so many


class Wait(Enum):
    """What the server waits for on a connection. Values label `fanlight_connections_ended`."""

    NOTHING = "nothing"  # it is at work itself
    REQUEST = "idle"
    HEAD = "unfinished_head"
    REST = "unwanted_body"  # of a request that is answered already
    TAKING = "untaken_answer"
    GOODBYE = "goodbye"


@dataclass(frozen=True)
class ConnectionLimits:
    """The connection limits of a process, with times in seconds.

    `ended` is called with the reason for each connection that is closed by a limit or refused.
    """

    max_connections: int = 4096
    head_timeout: float = 10.0
    idle_timeout: float = 75.0
    send_timeout: float = 30.0
    max_unsent_bytes: int = 2**28
    ended: Callable[[str], None] = lambda _reason: None

    @cached_property
    def seconds(self) -> dict[Wait, float]:
        """Return the time limit in seconds of each kind of wait; `NOTHING` has none."""
        return {
            Wait.REQUEST: self.idle_timeout,
            Wait.HEAD: self.head_timeout,
            Wait.REST: self.head_timeout,
            Wait.TAKING: self.send_timeout,
            Wait.GOODBYE: GOODBYE_SECONDS,
        }


class Connection(Protocol):
    """The methods of a connection that `Connections` calls."""

    patience: "Patience"

    def waits_for(self) -> tuple[Wait, object]:
        """Return what the server waits for, and the object that the wait belongs to.

        That is the request being answered, for example. If it is another object than in the call
        before, a new wait has begun.
        """
        ...

    def unsent(self) -> int:
        """Return how many bytes of answers are still in the write buffer."""
        ...

    def sent(self) -> int:
        """Return how many bytes of answers were written so far, with those in the write buffer."""
        ...

    def hang_up(self, wait: Wait) -> None:
        """Close the connection: this wait passed its limit, or the server needs the resources."""
        ...


class Patience:
    """The time that a connection has kept the server waiting, as of the last call of `look`."""

    __slots__ = ("_of", "_seconds", "_since", "_taken", "overdue", "wait", "waited")

    def __init__(self, limits: ConnectionLimits) -> None:
        self._seconds = limits.seconds
        self.wait: Wait = Wait.NOTHING
        self._of: object = None
        self._since, self._taken = 0.0, 0
        self.waited = self.overdue = 0.0  # seconds; overdue is below 0 before the limit

    def look(self, connection: Connection, now: float) -> None:
        """Update the wait of the connection; `now` is a time of the event loop's clock.

        While an answer is sent, the time limit starts again when it has passed, if the client has
        taken at least `MIN_RATE` bytes a second.
        """
        wait, of = connection.waits_for()
        taken = connection.sent() - connection.unsent()
        if wait is not self.wait or of is not self._of:
            self.wait, self._of, self._since, self._taken = wait, of, now, taken
        if wait is Wait.NOTHING:
            self.waited = self.overdue = 0.0
            return
        limit = self._seconds[wait]
        self.waited = now - self._since
        self.overdue = self.waited - limit
        if wait is Wait.TAKING:
            earned = (taken - self._taken) / MIN_RATE  # seconds
            if self.overdue < 0:
                self.overdue -= earned
            elif earned >= limit:  # enough was taken in this time: the next begins
                self._since, self._taken = now, taken
                self.waited, self.overdue = 0.0, -limit


class Connections:
    """The connections of one server, which a timer checks against their limits.

    `every` is the server's own collection of its connections.
    """

    def __init__(
        self,
        every: Collection[Connection],
        limits: ConnectionLimits,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.limits = limits
        self._every, self._loop = every, loop
        shortest = min(limits.head_timeout, limits.idle_timeout, limits.send_timeout)
        self._interval = min(MAX_LOOK_SECONDS, shortest / 4)
        self._timer: asyncio.TimerHandle | None = None
        self._slow: set[Connection] = set()
        self.refused: set[Connection] = set()  # which are there until they have read that
        self._room = 0  # places that were made for new connections
        self._searched = -_BETWEEN_SEARCHES

    def enter(self, connection: Connection) -> bool:
        """Admit a new connection, or return False to refuse it because there are too many."""
        if self._timer is None:
            self._timer = self._loop.call_later(self._interval, self._look_at_all)
        if len(self._every) - len(self.refused) <= self.limits.max_connections:
            return True
        self._make_room()
        if self._room:
            self._room -= 1
            return True
        self.refused.add(connection)
        self.limits.ended("refused")
        return False

    def left(self, connection: Connection) -> None:
        """Forget a connection that was closed."""
        self.takes_again(connection)
        self.refused.discard(connection)

    def takes_slowly(self, connection: Connection) -> None:
        """Note that much of an answer is unsent. Enforce `max_unsent_bytes` over all answers."""
        self._slow.add(connection)
        self._free_memory()

    def takes_again(self, connection: Connection) -> None:
        """Note that most of the connection's unsent answer has been sent."""
        self._slow.discard(connection)

    def _look_at_all(self) -> None:
        self._timer = None
        for connection in self._looked_at(list(self._every)):
            patience = connection.patience
            if patience.wait is not Wait.NOTHING and patience.overdue >= 0:
                self._end(connection)
        if self._every:
            self._timer = self._loop.call_later(self._interval, self._look_at_all)

    def _looked_at(self, connections: list[Connection]) -> list[Connection]:
        now = self._loop.time()
        for connection in connections:
            connection.patience.look(connection, now)
        return connections

    def _make_room(self) -> None:
        """End connections that have waited longest for their clients."""
        now = self._loop.time()
        if self._room or now - self._searched < _BETWEEN_SEARCHES:
            return
        self._searched = now
        ending = [
            connection
            for connection in self._looked_at(list(self._every))
            if connection.patience.wait in (Wait.REQUEST, Wait.HEAD, Wait.REST, Wait.GOODBYE)
            and connection.patience.waited >= IDLE_SECONDS
            and connection not in self.refused
        ]
        ending.sort(key=lambda each: each.patience.waited, reverse=True)
        for connection in ending[: max(1, self.limits.max_connections // _SEARCH_FRACTION)]:
            self._room += 1
            self._end(connection)

    def _free_memory(self) -> None:
        """Break off the slowest answers until the unsent bytes are within `max_unsent_bytes`.

        The last answer is kept, whatever its size.
        """
        limit, total = self.limits.max_unsent_bytes, sum(each.unsent() for each in self._slow)
        if total <= limit:
            return
        slowest = self._looked_at(list(self._slow))
        slowest.sort(key=lambda each: each.patience.overdue)
        while total > limit and len(slowest) > 1:
            ended = slowest.pop()
            total -= ended.unsent()
            self._slow.discard(ended)
            self._end(ended)

    def _end(self, connection: Connection) -> None:
        wait = connection.patience.wait
        if wait is not Wait.GOODBYE:  # it was counted when it was told
            self.limits.ended(wait.value)
        connection.hang_up(wait)
