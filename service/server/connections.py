"""Connections that keep the server waiting: each has a time limit, and all of them have a number.

A client may take long to ask, to end the head of a request, or to take its answer. A timer looks
at all connections of a server about once a second, and hangs up where a limit has passed. So a
request costs nothing here.
When there are as many connections as are allowed, the one that has waited longest makes room for a
new one. If none has waited for a second, the new one is refused.
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
_ROOM = 16  # a search ends one connection of so many


class Wait(Enum):
    """What the server waits for. The values are labels of a metric."""

    NOTHING = "nothing"  # it is at work itself
    REQUEST = "idle"
    HEAD = "unfinished_head"
    REST = "unwanted_body"  # of a request that is answered already
    TAKING = "untaken_answer"
    GOODBYE = "goodbye"


@dataclass(frozen=True)
class ConnectionLimits:
    """The limits of a process; times in seconds. `ended` counts what was hung up, by its reason."""

    max_connections: int = 4096
    head_timeout: float = 10.0
    idle_timeout: float = 75.0
    send_timeout: float = 30.0
    max_unsent_bytes: int = 2**28
    ended: Callable[[str], None] = lambda _reason: None

    @cached_property
    def seconds(self) -> dict[Wait, float]:
        """How long the server waits for what."""
        return {
            Wait.REQUEST: self.idle_timeout,
            Wait.HEAD: self.head_timeout,
            Wait.REST: self.head_timeout,
            Wait.TAKING: self.send_timeout,
            Wait.GOODBYE: GOODBYE_SECONDS,
        }


class Connection(Protocol):
    """A connection, as its limits see it."""

    patience: "Patience"

    def waits_for(self) -> tuple[Wait, object]:
        """What the server waits for, and whose: another object means that the wait began anew."""
        ...

    def unsent(self) -> int:
        """Bytes that the client has not taken yet."""
        ...

    def sent(self) -> int:
        """Bytes of the answer that is being taken, and of those before it, taken or not."""
        ...

    def hang_up(self, wait: Wait) -> None:
        """End the connection, since the server has waited too long for that."""
        ...


class Patience:
    """How long a connection has kept the server waiting, as far as it was looked at."""

    __slots__ = ("_of", "_seconds", "_since", "_taken", "overdue", "wait", "waited")

    def __init__(self, limits: ConnectionLimits) -> None:
        self._seconds = limits.seconds
        self.wait: Wait = Wait.NOTHING
        self._of: object = None
        self._since, self._taken = 0.0, 0
        self.waited = self.overdue = 0.0  # seconds; overdue is below 0 before the limit

    def look(self, connection: Connection, now: float) -> None:
        """Note what the connection waits for at that time of the loop's clock."""
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
    """The connections of one server and their limits; looks at them while there are any.

    `every` is the server's own collection of them.
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
        """A new connection is there; False if there are too many already."""
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
        """The connection is closed."""
        self.takes_again(connection)
        self.refused.discard(connection)

    def takes_slowly(self, connection: Connection) -> None:
        """Much of an answer is unsent; with all the others it may have passed the limit."""
        self._slow.add(connection)
        self._free_memory()

    def takes_again(self, connection: Connection) -> None:
        """Most of it has been sent."""
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
        for connection in ending[: max(1, self.limits.max_connections // _ROOM)]:
            self._room += 1
            self._end(connection)

    def _free_memory(self) -> None:
        """Break off the slowest answers while all of them together are too large.

        One answer of any size is kept.
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
