"""uvicorn's HTTP protocol on httptools, with limits on heads and on pipelined requests.

httptools takes heads of any length, and any number of requests before the first is answered. It
treats an offer to upgrade the protocol as accepted, and reads the body as the next request. Here
the offer is ignored and the body is read (RFC 9110, 7.8).
uvicorn writes the head of an answer and its body as a packet each, and sets a timer for each answer
whose connection stays open; here an answer is one packet, and a server has one timer, which also
ends connections whose clients send or take nothing (see `connections`).
If a request is answered before its body has arrived, the connection closes after the answer, unless
the body is small. The answer says `Connection: close`, and the client gets a moment to read it.
A request that arrives complete is first offered to the fast path, which answers usual predictions
in less time.
"""

import asyncio
from collections.abc import Collection, Iterable
from typing import Any, NoReturn, cast

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from service.server import backpressure, listening
from service.server.coalescing import MAX_UNWANTED, CoalescingTransport
from service.server.connections import MAX_REFUSED, ConnectionLimits, Connections, Patience, Wait
from service.server.fast_path import FastPath, PendingAnswer
from service.server.middleware.security_headers import LINES, Header
from service.setting_values.units import show_seconds

MAX_HEAD = 2**16  # bytes of a request's line and headers, trailers included
_PER_HEADER = 32  # bytes that a header counts besides its own, as in HTTP/2 (RFC 9113, 6.5.2)
MAX_PIPELINED = 32  # requests of a connection that wait while one is answered
_BEGINNING = {  # of an answer: what is the same for all with its status
    status: line + LINES for status, line in STATUS_LINE.items()
}


class _RefusedError(Exception):
    """Raised to stop the parser; the connection is then answered 400 and closed."""


_TOO_LONG = f"The line and the headers of a request may have {MAX_HEAD:,} bytes together."
_TOO_MANY = f"At most {MAX_PIPELINED} requests of a connection may wait for an answer."
_INVALID = "Invalid HTTP request received."
_VERSION = "The request line must end in HTTP/1.1 or HTTP/1.0."
_HOST = "A request of HTTP/1.1 must have the header Host once."
_CODING = "The only Transfer-Encoding that this server takes is chunked, once."
_TOO_SLOW = "The line and the headers of a request must arrive within {} (setting head_timeout)."
_FULL = (
    "The server has {:,} connections, and takes no more (setting max_connections); "
    "try again in a second."
)
_NOT_IN_TRAILERS = (b"connection", b"proxy-connection")
_TRAILER = "Connection can't be a trailer."
_CONNECT = "This server is no proxy: it does not take CONNECT."


class LimitedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits: answers 400 to too long a head or too many waiting requests.

    Implements `connections.Connection`, `fast_path.Connection` and `backpressure.Paused`.
    """

    _head = 0  # bytes of the request's head that are parsed
    _refusal: str | None = None  # why the parsing was ended
    _ended = False  # nothing more is parsed: the connection closes after the answers it owes
    _version = ""  # of HTTP, in the head that was read
    _hosts = 0  # headers of that name
    _codings: list[bytes]  # values of Transfer-Encoding
    _in_head = False  # what headers arrive are no trailers
    _in_body_of: Any = None  # the cycle of the request whose body is being read
    _current: Any = None  # the cycle of the request that is being answered, or was last
    _offering: list[tuple[bytes, bytes]] | None = None  # all headers of a head that is read again
    _unparsed = 0  # bytes since something was: of a line that doesn't end, say
    _idle_since: float | None = None  # seconds on the loop's clock, while nothing is asked
    _leaving = False  # nothing more is sent, and the client is to close
    _unwanted = 0  # bytes that arrived and are not parsed any more
    _server: Connections  # which ends this connection when it waits too long
    patience: Patience
    address = ""  # of the client, without its port
    _fast_path: FastPath | None = None
    _whole: list[bytes] | None = None  # the body of a request that may be answered directly
    _pending: PendingAnswer | None = None  # the last one that was
    _socket: Any = None  # of the connection, once it was asked for
    _direct: asyncio.Transport  # which sends an answer that is all there
    _draining = False  # the server will end: the next answer closes the connection
    _last: Any = None  # the cycle that was told to close it

    def connection_made(self, transport: Any) -> None:
        fast_path: FastPath | None = getattr(self.app, "fast_path", None)
        if fast_path is not None:
            fast_path.is_offered_requests = True
            if fast_path.is_on(transport.get_extra_info("sockname")):
                self._fast_path = fast_path
        self._direct = transport
        super().connection_made(cast(asyncio.Transport, CoalescingTransport(transport, self)))
        self.address = self.client[0] if self.client else ""
        self._idle_since = self.loop.time()
        self._server = self._connections()
        self.patience = Patience(self._server.limits)
        if not self._server.enter(self):
            self._turn_away()
        if getattr(self.server_state, "draining", False):
            self.drain()

    def _connections(self) -> Connections:
        """Return the `Connections` of the server, one object for all; the first call makes it."""
        server = vars(self.server_state)
        if "limited_connections" not in server:
            limits = getattr(self.app, "connection_limits", None)
            limits = limits or ConnectionLimits(idle_timeout=self.timeout_keep_alive)
            every = cast(Collection[LimitedHttpProtocol], self.connections)
            server["limited_connections"] = Connections(every, limits, self.loop)
        return cast(Connections, server["limited_connections"])

    def drain(self) -> None:
        """From now on, close the connection with the answer to its last waiting request.

        That answer says `Connection: close`. A connection without a request stays open, because its
        client may be sending one.
        """
        self._draining = True
        self._close_after_newest()

    def _close_after_newest(self) -> None:
        last, self._last = self._last, None
        if last is not None and not last.response_started:
            last.keep_alive = True  # another request has come behind it
        newest = self.cycle
        if newest is not None and newest.keep_alive and not newest.response_started:
            newest.keep_alive, self._last = False, newest

    def shutdown(self) -> None:
        """Drain, and close the connection if idle. Unlike uvicorn, keep it if a request arrives."""
        self.drain()
        is_free = self.cycle is None or self.cycle.response_complete
        file = self.transport.get_extra_info("socket").fileno()
        if is_free and not self._in_head and not listening.has_input(file):
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self._ended:
            self._unwanted += len(data)
            if self._unwanted > MAX_UNWANTED:
                self.flow.pause_reading()
            return
        self._unset_keepalive_if_required()
        self._unparsed += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self._end(self._refusal or _INVALID)
            return
        if self._whole is not None:  # there is more to come
            self._to_application(self._whole)
        if self._unparsed > MAX_HEAD and not self.transport.is_closing():
            self._end(_TOO_LONG)

    def _parse(self, data: bytes | memoryview) -> None:
        """Feed the parser. A head that offers an upgrade is parsed again without the offer.

        httptools has no option to ignore the offer: it stops before the body. So the parsed head is
        written again, without `Upgrade`, for a new parser, which then reads the body.
        """
        while True:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as stopped:
                data = memoryview(data)[stopped.args[0] :]
                self._read_again()

    def _read_again(self) -> None:
        method, version = self.parser.get_method(), self.parser.get_http_version()
        if method == b"CONNECT":  # nobody says where its body would end
            self._refusal = _CONNECT
            raise httptools.HttpParserError
        headers = self.headers
        kept = [(name, value) for name, value in headers if name != b"upgrade"]
        head = [b"%b %b HTTP/%b" % (method, self.url, version.encode())]
        head += [name + b": " + value for name, value in kept]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        self._offering = headers
        self.parser.feed_data(b"\r\n".join(head) + b"\r\n\r\n")

    def _end(self, reason: str) -> None:
        """Parse nothing more, and answer 400 once the requests before are answered."""
        self._ended, self._refusal, self._whole = True, reason, None
        faulty = self._in_body_of
        if faulty is not None and self.pipeline and self.pipeline[0][0] is faulty:
            self.pipeline.popleft()
        elif faulty is not None:  # it is being answered: the last that can be
            if faulty.response_started:
                self.transport.close()
            else:
                self._say(400, reason)
            return
        if self._current is None or self._current.response_complete:
            self._say(400, reason)

    def _say(self, status: int, text: str, *headers: bytes) -> None:
        """Send an answer that belongs to no request, and close."""
        date = [name + b": " + value for name, value in self.server_state.default_headers]
        lines = (
            *date,
            *headers,
            b"content-type: text/plain; charset=utf-8",
            b"content-length: %d" % len(text),
            b"connection: close",
        )
        head = _BEGINNING[status] + b"\r\n".join(lines)
        self.transport.write(head + b"\r\n\r\n" + text.encode())
        self._ended = True
        self.transport.close()

    def _turn_away(self) -> None:
        """Refuse the connection with status 503, or abort it if many others are being refused."""
        self._ended = True
        if len(self._server.refused) > MAX_REFUSED:
            self._direct.abort()
        else:
            limit = self._server.limits.max_connections
            self._say(503, _FULL.format(limit), b"retry-after: 1")

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._current = cycle
        super()._start_asgi_task(cycle, app)

    def on_message_begin(self) -> None:
        self._head, self._in_head, self._hosts, self._codings = 0, True, 0, []
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refuse(_TOO_MANY)
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._unparsed = 0
        self._head += len(url)
        if self._head > MAX_HEAD:
            self._refuse(_TOO_LONG)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header as uvicorn does, within the limits.

        uvicorn's own method is not called, since the call takes a microsecond per request.
        """
        self._unparsed = 0
        self._head += len(name) + len(value) + _PER_HEADER
        if self._head > MAX_HEAD:
            self._refuse(_TOO_LONG)
        name = name.lower()
        if not self._in_head:  # a trailer says nothing
            if name in _NOT_IN_TRAILERS:  # httptools would obey it
                self._refuse(_TRAILER)
            return
        self.headers.append((name, value))
        if name == b"host":
            self._hosts += 1
        elif name == b"transfer-encoding":
            self._codings.append(value.lower())
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True

    def on_headers_complete(self) -> None:
        self._in_head = False
        version = self._version = self.parser.get_http_version()
        if version != "1.1" or self._hosts != 1 or self._codings:
            self._check_head(version)
        if self.parser.should_upgrade():  # it is read again, see `_parse`
            return
        if self._offering is not None:
            self.headers[:], self._offering = self._offering, None
        if self._fast_path is not None and self._is_usual():
            self._whole = []
        else:
            self._begin_cycle()

    def _check_head(self, version: str) -> None:
        """Stop parsing if the head is ambiguous: a proxy may read it differently (RFC 9112)."""
        if version not in ("1.1", "1.0"):
            self._refuse(_VERSION)
        if self._hosts != 1 and (version == "1.1" or self._hosts):
            self._refuse(_HOST)
        if self._codings and self._codings != [b"chunked"]:
            self._refuse(_CODING)

    def _begin_cycle(self) -> None:
        super().on_headers_complete()
        self._in_body_of = self.cycle
        if self._draining:
            self._close_after_newest()

    def _is_usual(self) -> bool:
        """Return True if the request may be offered to the fast path.

        It must be a POST to a prediction's URL by HTTP/1.1, on a connection that is not answering
        another request, stays open, and whose client takes its answers.
        """
        return (
            (self.cycle is None or self.cycle.response_complete)
            and self.parser.get_method() == b"POST"
            and FastPath.is_for(self.url)
            and self._version == "1.1"
            and self.parser.should_keep_alive()
            and not self.expect_100_continue
            and not self.flow.write_paused
        )

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        if self._whole is not None:
            self._whole.append(body)
        elif self._in_body_of is not None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed = 0
        whole = self._whole
        if whole is not None and self._fast_path is not None:
            body = whole[0] if len(whole) == 1 else b"".join(whole)
            scope: Any = self.scope
            pending: Any = self._fast_path.take(self, scope, self.url, body)
            if pending is not None:
                self._whole = None
                self.cycle = self._current = self._pending = pending
                return
            self._to_application(whole)
        if self._in_body_of is not None:
            super().on_message_complete()
            self._in_body_of = None

    def _to_application(self, body: list[bytes]) -> None:
        """Pass the head, and the part of the body that has arrived, to the application."""
        self._whole = None
        if self.transport.is_closing():
            return
        self._begin_cycle()
        for chunk in body:
            super().on_body(chunk)

    def answer(
        self, pending: PendingAnswer, status: int, headers: Iterable[Header], body: bytes
    ) -> None:
        """Send a complete answer of the fast path, past the `CoalescingTransport`.

        That transport must hold no unsent head of another answer.
        """
        transport = self._direct
        if not transport.is_closing():
            parts = [_BEGINNING[status]]
            for name, value in (*self.server_state.default_headers, *headers):
                parts += name, b": ", value, b"\r\n"
            closes = not pending.keep_alive or (self._draining and not self.pipeline)
            if closes:
                parts.append(b"connection: close\r\n")
            parts += b"\r\n", body
            transport.write(b"".join(parts))
            if closes:
                transport.close()
        self.on_response_complete()

    def waited(self) -> float:
        """Return how many seconds the last data that was read had waited; the call takes 1 µs."""
        if self._socket is None:
            self._socket = self._direct.get_extra_info("socket")
        return backpressure.waited(self._socket)

    @property
    def retry_after(self) -> int:
        """Seconds until this connection is read again if its request is refused now."""
        return self._fast_path.backpressure.retry_after if self._fast_path is not None else 1

    def pause(self) -> None:
        """Read nothing for a while: a request was refused."""
        if self._fast_path is not None and not self.transport.is_closing():
            self.flow.pause_reading()
            self._fast_path.backpressure.refused(self)

    def read_again(self) -> None:
        """Read again after a pause, unless the client does not take its answers."""
        if not self.flow.write_paused:
            self.flow.resume_reading()

    def _refuse(self, reason: str) -> NoReturn:
        """Stop the parser by an exception, and keep the reason for the answer 400."""
        self._refusal = reason
        raise _RefusedError

    def on_response_complete(self) -> None:
        """End an answer as uvicorn does, but without setting a timer for each answer."""
        self.transport.flush()  # type: ignore[attr-defined]
        self.server_state.total_requests += 1
        if not (self.transport.is_closing() or self.flow.write_paused):
            self._go_on()

    def _go_on(self) -> None:
        """Go on with the next request, or answer 400 if parsing was stopped."""
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif not self._ended:
            if not self._in_head:  # else a part of the next head has arrived already
                self._idle_since = self.loop.time()
        elif not self._leaving:
            self._say(400, self._refusal or _INVALID)

    def pause_writing(self) -> None:
        """Stop reading until the client has taken the large unsent part of its answer."""
        super().pause_writing()
        self.flow.pause_reading()
        self._server.takes_slowly(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._server.takes_again(self)
        if not self.transport.is_closing() and not self._is_at_work():
            self._go_on()

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = None

    def say_goodbye(self) -> None:
        """Close the connection, but give the client time to read the last answer.

        If more data arrived at a closed socket, the kernel would reset the connection, and the
        client might lose the answer (RFC 9112, 9.6).
        """
        transport = self._direct
        more = self._ended or self._in_body_of is not None or self.flow.read_paused
        if not more or transport.is_closing() or not transport.can_write_eof():
            transport.close()
        elif not self._leaving:
            self._ended = self._leaving = True
            self.transport.ended = True  # type: ignore[attr-defined]
            self.pipeline.clear()
            self._forget_requests()
            transport.write_eof()
            self.flow.resume_reading()

    def waits_for(self) -> tuple[Wait, object]:
        if self._direct.get_write_buffer_size():
            return Wait.TAKING, self._current
        if self._leaving:
            return Wait.GOODBYE, None
        if self._direct.is_closing() or self._is_at_work():
            return Wait.NOTHING, None
        if self._in_body_of is not None:
            return Wait.REST, self._in_body_of
        if self._idle_since is not None:
            return Wait.REQUEST, self._idle_since
        return Wait.HEAD, self.headers

    def unsent(self) -> int:
        return self._direct.get_write_buffer_size()

    def sent(self) -> int:
        return self.transport.written  # type: ignore[attr-defined, no-any-return]

    def hang_up(self, wait: Wait) -> None:
        if wait is Wait.HEAD:
            self._say(408, _TOO_SLOW.format(show_seconds(self._server.limits.head_timeout)))
        elif wait is Wait.REQUEST:
            self._direct.close()
        else:
            self._direct.abort()

    def _is_at_work(self) -> bool:
        return self._current is not None and not self._current.response_complete

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for cycle in (self.cycle, self._current, *(each for each, _ in self.pipeline)):
            if isinstance(cycle, RequestResponseCycle):
                cycle.body = bytearray()  # nobody reads it; the collector comes seldom
        self._server.left(self)
        self._forget_requests()

    def _forget_requests(self) -> None:
        """Mark the unanswered requests as disconnected, because nobody will read the answers."""
        if self._current is not None and not self._current.response_complete:
            self._current.disconnected = True  # uvicorn tells only the newest of those that wait
            self._current.message_event.set()
        if self._pending is not None and not self._pending.response_complete:
            self._pending.leave()
