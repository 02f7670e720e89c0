"""Backpressure: under overload, a connection whose request was refused is not read for a while.

A refusal costs about as much time as half an answer, and many clients ask again immediately. So
the server stops reading a connection whose request was refused. What the client sends meanwhile
waits in the socket, where it costs nothing. Every `ROUND_SECONDS` the server resumes a few of these
connections: so few that refusals take about `REFUSAL_SHARE` of the time, and more once no request
is refused. The header `Retry-After` says how long a connection waits until it is read again.
"""

import asyncio
import math
import socket
import struct
from collections import deque
from typing import Any, Protocol

from service.monitoring import logs

log = logs.Log()

REFUSAL_SECONDS = 100e-6  # to read, parse and refuse a request, and to read the connection again
REFUSAL_SHARE = 0.03  # of the time, that refusals may take
ROUND_SECONDS = 0.01  # between two turns of paused connections
RESUMED_IN_A_ROUND = round(REFUSAL_SHARE * ROUND_SECONDS / REFUSAL_SECONDS)
MAX_RESUMED_IN_A_ROUND = 64  # more would keep the event loop for long
ACTIVE_SECONDS = 2.0  # after the last refusal; longer than LOG_SECONDS, for the last line
LOG_SECONDS = 1.0  # between two lines that count refusals
_LAST_DATA_RECEIVED = struct.Struct("=52xI")  # milliseconds; struct tcp_info of linux/tcp.h


class Paused(Protocol):
    """A connection that isn't read at the moment."""

    def read_again(self) -> None: ...


class Backpressure:
    """The queue of paused connections; resumes them in rounds, and logs the number of refusals."""

    def __init__(self) -> None:
        self.is_active = False  # while requests are refused, and a moment longer
        self._paused: deque[Paused] = deque()
        self._resumed = RESUMED_IN_A_ROUND  # connections in the last round
        self._refused_in_round = 0
        self._refused = 0  # since the last line of the log
        self._logged = self._last = -math.inf  # line and refusal; seconds on the loop's clock

    @property
    def paused(self) -> int:
        """Return the number of connections that are not read at the moment."""
        return len(self._paused)

    @property
    def retry_after(self) -> int:
        """Seconds until a connection that is paused now is read again, rounded up."""
        return math.ceil(len(self._paused) * ROUND_SECONDS / RESUMED_IN_A_ROUND) or 1

    def refused(self, connection: Paused) -> None:
        """Queue a connection that was paused because its request was refused; count the refusal."""
        self._paused.append(connection)
        self._refused += 1
        self._refused_in_round += 1
        if not self.is_active:
            self.is_active = True
            self._wait()

    def _wait(self) -> None:
        asyncio.get_running_loop().call_later(ROUND_SECONDS, self._next_round)

    def _next_round(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._refused_in_round:
            self._resumed, self._last = RESUMED_IN_A_ROUND, now
        else:
            self._resumed = min(2 * self._resumed, MAX_RESUMED_IN_A_ROUND)
        self._refused_in_round = 0
        for _ in range(min(self._resumed, len(self._paused))):
            self._paused.popleft().read_again()
        self._log(now)
        self.is_active = bool(self._paused) or now < self._last + ACTIVE_SECONDS
        if self.is_active:
            self._wait()

    def _log(self, now: float) -> None:
        if self._refused and now >= self._logged + LOG_SECONDS:
            log.warning("overloaded", refused=self._refused, connections=len(self._paused))
            self._refused, self._logged = 0, now


def waited(connection: Any) -> float:
    """Return the seconds since the socket last received data, 0 if the system doesn't report it.

    Only Linux reports it, for TCP sockets.
    """
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA_RECEIVED.size)
        return float(_LAST_DATA_RECEIVED.unpack(info)[0]) / 1000
    except (AttributeError, OSError, struct.error):
        return 0.0
