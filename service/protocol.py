"""HTTP as uvicorn speaks it through httptools, with bounds on what is not a body.

httptools takes heads of any length, and any number of requests before the first is answered.
uvicorn writes the head of an answer and its body as a packet each, and sets a timer for each answer
whose connection stays open; here an answer is one packet, and a connection has one timer.
What arrives whole is first offered to `direct`, which answers usual predictions in less time.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.direct import Direct, Exchange
from service.telemetry import Header

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
    _direct: Direct | None = None
    _whole: list[bytes] | None = None  # the body of a request that may be answered directly
    _exchange: Exchange | None = None  # the last one that was

    def connection_made(self, transport: Any) -> None:
        self._direct = getattr(self.app, "direct", None)
        super().connection_made(cast(asyncio.Transport, _Joining(transport, self)))

    def data_received(self, data: bytes) -> None:
        self._unparsed += len(data)
        super().data_received(data)
        if self._whole is not None:  # there is more to come
            self._to_application(self._whole)
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
        if self._whole is None:  # else it is a trailer, which says nothing
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._direct is not None and self._is_usual():
            self._whole = []
        else:
            super().on_headers_complete()

    def _is_usual(self) -> bool:
        """Whether predictions are asked for by HTTP/1.1, on a connection that is free, and whose
        client takes its answers."""
        return (
            (self.cycle is None or self.cycle.response_complete)
            and self.parser.get_method() == b"POST"
            and Direct.asks(self.url)
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and not self.parser.should_upgrade()
            and not self.expect_100_continue
            and not self.flow.write_paused
        )

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        if self._whole is None:
            super().on_body(body)
        else:
            self._whole.append(body)

    def on_message_complete(self) -> None:
        self._unparsed = 0
        whole = self._whole
        if whole is not None and self._direct is not None:
            body = whole[0] if len(whole) == 1 else b"".join(whole)
            exchange = self._direct.take(self, cast(Any, self.scope), self.url, body)
            if exchange is not None:
                self._whole, self._exchange = None, exchange
                self.cycle = cast(Any, exchange)
                return
            self._to_application(whole)
        super().on_message_complete()

    def _to_application(self, body: list[bytes]) -> None:
        """What has arrived of a request, as if it were only now parsed."""
        self._whole = None
        if self.transport.is_closing():
            return
        super().on_headers_complete()
        for chunk in body:
            super().on_body(chunk)

    def answer(
        self, exchange: Exchange, status: int, headers: Iterable[Header], body: bytes
    ) -> None:
        """Send an answer that is all there."""
        if not self.transport.is_closing():
            parts = [STATUS_LINE[status]]
            for name, value in (*self.server_state.default_headers, *headers):
                parts += name, b": ", value, b"\r\n"
            if not exchange.keep_alive:
                parts.append(b"connection: close\r\n")
            parts += b"\r\n", body
            self.transport.write(b"".join(parts))
            if not exchange.keep_alive:
                self.transport.close()
        self.on_response_complete()

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
        if self._exchange is not None and not self._exchange.response_complete:
            self._exchange.leave()
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
        if self._transport.is_closing():  # uvicorn tells only the last of the cycles that wait
            return
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

    def is_closing(self) -> bool:  # for each request, quicker than the others
        return self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
