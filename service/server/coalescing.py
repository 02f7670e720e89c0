"""A transport that joins the head and the body of an answer into one packet.

uvicorn writes them one after the other, as ASGI allows.
"""

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from service.server.protocol import LimitedHttpProtocol

MAX_UNWANTED = 2**18  # bytes of a body that are read after its request is answered


class CoalescingTransport:
    """A transport that sends the head of an answer together with what follows.

    ASGI lets a server keep the head until the body begins. If an answer begins before the body of
    its request has fully arrived, the head gets `Connection: close`, unless that body is small.
    """

    def __init__(self, transport: asyncio.Transport, protocol: "LimitedHttpProtocol") -> None:
        self._transport, self._protocol = transport, protocol
        self.written = 0  # bytes
        self.ended = False  # nothing more is sent
        self._answering: object = None  # the cycle whose head was written last
        self._head = b""  # that was not sent yet

    def write(self, data: bytes) -> None:
        if self.ended or self._transport.is_closing():  # uvicorn tells only the newest cycle
            return
        cycle = self._protocol.cycle
        if cycle is not self._answering and cycle.response_started:
            if cycle.more_body and cycle.keep_alive and not _is_soon_read(self._protocol):
                cycle.keep_alive = False
                data = data[:-2] + b"connection: close\r\n\r\n"
            self._answering, self._head = cycle, data
            return
        if self._head:
            data, self._head = self._head + data, b""
        self.written += len(data)
        self._transport.write(data)

    def flush(self) -> None:
        """Send the head of an answer that has no body."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        self.flush()
        self._protocol.say_goodbye()

    def is_closing(self) -> bool:  # for each request, quicker than the others
        return self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def _is_soon_read(protocol: "LimitedHttpProtocol") -> bool:
    """Return True if the request's body has at most `MAX_UNWANTED` bytes, and is sure to come.

    A client that waits for `100 Continue` may leave the body out, and send its next request.
    """
    length = dict(protocol.headers).get(b"content-length", b"")
    digits = length.lstrip(b"0") or length[:1]
    is_small = digits.isdigit() and len(digits) < 20 and int(digits) <= MAX_UNWANTED
    return is_small and not protocol.expect_100_continue
