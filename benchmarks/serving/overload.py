"""More requests than the server can answer: an open loop over raw sockets.

Requests are due at even times, whatever the server does. Each is sent on an idle connection. If
none is idle, a new one is opened, up to a limit; beyond the limit the request is not sent. Besides,
a few requests a second ask another model, and `GET /health/live`.
A request costs this client about 10 µs, so that one core offers some 60,000 a second.
"""

import selectors
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from urllib.parse import urlsplit

RECEIVED_BYTES = 2**16


@dataclass
class Stream:
    """Requests of one kind, `rate` a second, over at most `connections` connections."""

    name: str
    request: bytes
    rate: float
    connections: int
    sent: int = 0
    unsent: int = 0  # no connection was free
    broken: int = 0  # connections that ended without the answer
    latencies: dict[int, list[float]] = field(default_factory=dict)  # by status: seconds

    def answered(self, status: int) -> int:
        return len(self.latencies.get(status, []))

    @property
    def refused(self) -> int:
        return sum(len(each) for status, each in self.latencies.items() if status != 200)

    def quantile(self, part: float, status: int = 200) -> float:
        """Return a quantile of the latencies in seconds; infinity if no answer has this status."""
        ordered = sorted(self.latencies.get(status, []))
        return ordered[int(part * (len(ordered) - 1))] if ordered else float("inf")


class _Connection:
    __slots__ = ("due", "socket", "stream", "unsent")

    def __init__(self, stream: Stream, address: tuple[str, int]) -> None:
        self.stream, self.due = stream, 0.0
        self.unsent = b""
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect_ex(address)


class OpenLoop:
    """An open loop that sends the requests of streams, and reads the answers."""

    def __init__(self, url: str, streams: list[Stream]) -> None:
        target = urlsplit(url)
        self._address = target.hostname or "", target.port or 80
        self._streams = streams
        self._idle: dict[str, deque[_Connection]] = {each.name: deque() for each in streams}
        self._open = dict.fromkeys(self._idle, 0)
        self._selector = selectors.DefaultSelector()

    def open(self, pause: float = 0.001) -> None:
        """Open all connections before the first request, one every `pause` seconds."""
        for stream in self._streams:
            while self._open[stream.name] < stream.connections:
                self._idle[stream.name].append(self._connect(stream))
                time.sleep(pause)

    def run(self, seconds: float, grace: float = 1.0) -> None:
        """Send requests for `seconds`, then read answers for `grace` seconds more."""
        begin = time.perf_counter()
        due = {each.name: 0 for each in self._streams}  # requests that were
        while (now := time.perf_counter()) < begin + seconds + grace:
            self._poll(0.0005)
            if now > begin + seconds:
                continue
            for stream in self._streams:
                wanted = int((now - begin) * stream.rate)
                for number in range(due[stream.name], wanted):
                    self._send(stream, begin + (number + 1) / stream.rate)
                due[stream.name] = max(wanted, due[stream.name])
        for key in list(self._selector.get_map().values()):
            key.data.socket.close()
        self._selector.close()

    def _send(self, stream: Stream, due: float) -> None:
        idle = self._idle[stream.name]
        if idle:
            connection = idle.popleft()
            connection.due = due
            self._write(connection, stream.request)
        elif self._open[stream.name] < stream.connections:
            connection = self._connect(stream)
            connection.due, connection.unsent = due, stream.request
            events = selectors.EVENT_READ | selectors.EVENT_WRITE
            self._selector.modify(connection.socket, events, connection)
        else:
            stream.unsent += 1
            return
        stream.sent += 1

    def _connect(self, stream: Stream) -> _Connection:
        connection = _Connection(stream, self._address)
        self._open[stream.name] += 1
        self._selector.register(connection.socket, selectors.EVENT_READ, connection)
        return connection

    def _write(self, connection: _Connection, data: bytes) -> None:
        try:
            sent = connection.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._ended(connection)
            return
        connection.unsent = data[sent:]
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.unsent else 0)
        if self._selector.get_key(connection.socket).events != events:
            self._selector.modify(connection.socket, events, connection)

    def _poll(self, seconds: float) -> None:
        for key, events in self._selector.select(seconds):
            connection: _Connection = key.data
            if events & selectors.EVENT_WRITE and connection.unsent:
                self._write(connection, connection.unsent)
            if events & selectors.EVENT_READ:
                self._read(connection)

    def _read(self, connection: _Connection) -> None:
        """Read an answer, on the assumption that it arrives in one piece as the service's do."""
        try:
            data = connection.socket.recv(RECEIVED_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._ended(connection)
            return
        now, stream = time.perf_counter(), connection.stream
        if connection.due:
            stream.latencies.setdefault(int(data[9:12]), []).append(now - connection.due)
            connection.due = 0.0
            self._idle[stream.name].append(connection)

    def _ended(self, connection: _Connection) -> None:
        stream = connection.stream
        if connection.due:
            stream.broken += 1
        else:
            self._idle[stream.name].remove(connection)
        self._open[stream.name] -= 1
        self._selector.unregister(connection.socket)
        connection.socket.close()
