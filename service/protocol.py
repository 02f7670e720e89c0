"""HTTP as uvicorn speaks it through httptools, with bounds on what is not a body.

httptools takes heads of any length, and any number of requests before the first is answered.
uvicorn writes the head of an answer and its body as a packet each, and sets a timer for each answer
whose connection stays open; here an answer is one packet, and a connection has one timer.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 2**16  # bytes of a request's line and headers, trailers included
_PER_HEADER = 32  # bytes that a header counts besides its own, as in HTTP/2 (RFC 9113, 6.5.2)
MAX_PIPELINED = 32  # requests of a connection that wait while one is answered


class _TooMuchError(Exception):
    """Ends the parsing, and with an answer 400 the connection."""


_TOO_LONG = f"The line and the headers of a request may have {MAX_HEAD:,} bytes together."
_TOO_MANY = f"At most {MAX_PIPELINED} requests of a connection may wait for an answer."


class BoundedProtocol(HttpToolsProtocol):
    """Answers 400 and hangs up where a head is too long, or too many requests wait."""

    _head = 0  # bytes of the request's head that are parsed
    _refusal = ""  # why the parsing was ended
    _unparsed = 0  # bytes since something was: of a line that doesn't end, say
    _idle_since: float | None = None  # seconds on the loop's clock, while nothing is asked

    def connection_made(self, transport: Any) -> None:
        super().connection_made(cast(asyncio.Transport, _Joining(transport, self)))

    def data_received(self, data: bytes) -> None:
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > MAX_HEAD and not self.transport.is_closing():
            self.send_400_response(_TOO_LONG)

    def send_400_response(self, msg: str) -> None:
        super().send_400_response(self._refusal or msg)

    def on_message_begin(self) -> None:
        self._head = 0
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refusal = _TOO_MANY
            raise _TooMuchError
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + _PER_HEADER)
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed = 0
        super().on_message_complete()

    def _count(self, size: int) -> None:
        self._unparsed = 0
        self._head += size
        if self._head > MAX_HEAD:
            self._refusal = _TOO_LONG
            raise _TooMuchError

    def on_response_complete(self) -> None:
        """As uvicorn's, without a new timer for each answer."""
        self.transport.flush()  # type: ignore[attr-defined]
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._close_when_idle(self.timeout_keep_alive)

    def _close_when_idle(self, seconds: float) -> None:
        """Look again in so many seconds."""
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if self._idle_since is None:  # the answer that is awaited will set a timer
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left <= 0:
            super().timeout_keep_alive_handler()
        else:
            self._close_when_idle(left)

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()


class _Joining:
    """A transport that sends the head of an answer together with what follows.

    ASGI lets a server keep the head until the body begins.
    """

    def __init__(self, transport: asyncio.Transport, protocol: HttpToolsProtocol) -> None:
        self._transport, self._protocol = transport, protocol
        self._answering: object = None  # the cycle whose head was written last
        self._head = b""  # that was not sent yet

    def write(self, data: bytes) -> None:
        cycle = self._protocol.cycle
        if cycle is not self._answering and cycle.response_started:
            self._answering, self._head = cycle, data
            return
        if self._head:
            data, self._head = self._head + data, b""
        self._transport.write(data)

    def flush(self) -> None:
        """Send the head of an answer that has no body."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
