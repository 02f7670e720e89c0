"""HTTP as uvicorn speaks it through httptools, with bounds on what is not a body.

httptools takes heads of any length, and any number of requests before the first is answered.
"""

import asyncio
from typing import Any

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

    def connection_made(self, transport: Any) -> None:
        super().connection_made(_Joining(transport, self.loop))  # type: ignore[arg-type]

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


class _Joining:
    """A transport that sends as one what is written in one turn of the loop.

    uvicorn writes the head of an answer and its body one after the other, each a system call and a
    packet of its own.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._written: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._written:
            self._loop.call_soon(self._flush)
        self._written.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._written:
            self._transport.write(b"".join(self._written))
            self._written.clear()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
