"""A client's HTTP connection for the soak, and functions that make requests as bytes."""

import asyncio
import re
import socket
from contextlib import suppress
from typing import NamedTuple

from benchmarks.soak.process import HOST

PATIENCE = 60.0  # seconds for one answer: more than the service's own limits
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n")
_STATUS = re.compile(rb"(?:^|\r\n\r\n|\})HTTP/1\.1 (\d{3}) ")


class LostError(Exception):
    """The connection ended before the answer was there, or none came in time."""


class Answer(NamedTuple):
    status: int
    head: bytes  # in lower case
    body: bytes

    @property
    def closes(self) -> bool:
        return b"\r\nconnection: close\r\n" in self.head

    @property
    def says_when_to_retry(self) -> bool:
        return b"\r\nretry-after: " in self.head


class Connection:
    """A connection that sends one request after the other. `port` is the client's own port."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.port: int = writer.get_extra_info("sockname")[1]
        self._is_last = False  # the answer that came said that the connection ends

    @classmethod
    async def open(cls, port: int, *, receive_buffer: int | None = None) -> "Connection":
        """Connect to the service. Raises `LostError`.

        With a small receive buffer, answers that are not read soon stay in the service.
        """
        own = socket.socket()
        try:
            own.setblocking(False)
            if receive_buffer:
                own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            async with asyncio.timeout(PATIENCE):
                await asyncio.get_running_loop().sock_connect(own, (HOST, port))
            return cls(*await asyncio.open_connection(sock=own, limit=2**16))
        except (OSError, TimeoutError) as error:
            own.close()
            raise LostError(f"no connection: {error!r}") from error

    @property
    def is_over(self) -> bool:
        """Return True if the connection can't take another request."""
        return self._is_last or self.reader.at_eof()

    def send(self, data: bytes) -> None:
        """Send bytes. Raises `LostError` if the connection has ended."""
        if self.writer.is_closing():
            raise LostError("it was closed before the request")
        self.writer.write(data)

    async def ask(self, request: bytes) -> Answer:
        self.send(request)
        return await self.answer()

    async def answer(self) -> Answer:
        """Read an answer. Raises `LostError` if it is cut off, or takes over `PATIENCE` seconds."""
        try:
            async with asyncio.timeout(PATIENCE):
                head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
                length = _LENGTH.search(head)
                if length is None:
                    raise LostError(f"an answer without its length: {head!r}")
                body = await self.reader.readexactly(int(length[1]))
                answer = Answer(int(head[9:12]), head, body)
                self._is_last = answer.closes
                return answer
        except asyncio.IncompleteReadError as error:
            raise LostError(f"closed after {error.partial[:60]!r}") from error
        except (OSError, TimeoutError) as error:
            raise LostError(repr(error)) from error

    async def rest(self) -> tuple[list[int], bool]:
        """End sending, and read until the service closes.

        Returns the statuses, and False if it did not close within `PATIENCE` seconds.
        """
        received = b""
        try:
            if not self.writer.is_closing():
                self.writer.write_eof()
            async with asyncio.timeout(PATIENCE):
                received = await self.reader.read(-1)
        except TimeoutError:
            return statuses(received), False
        except OSError:  # it closed while there was more to come
            pass
        return statuses(received), True

    def close(self) -> None:
        self.writer.close()

    def abort(self) -> None:
        self.writer.transport.abort()


def statuses(received: bytes) -> list[int]:
    return [int(status) for status in _STATUS.findall(received)]


def post(path: str, body: bytes, type: str = "image/png", *more: str) -> bytes:
    """An HTTP/1.1 POST request as bytes; `more` are further header lines."""
    lines = [f"POST {path} HTTP/1.1", "Host: soak", f"Content-Type: {type}", *more]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: soak\r\n\r\n".encode()


def form(*images: bytes) -> tuple[bytes, str]:
    """Images as multipart/form-data: the body and its type."""
    head = b'--soak\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
    body = b"".join(head + image + b"\r\n" for image in images)
    return body + b"--soak--\r\n", "multipart/form-data; boundary=soak"


async def close_all(connections: list[Connection]) -> None:
    """Abort connections, and wait until the event loop has closed them."""
    for connection in connections:
        connection.abort()
    for connection in connections:
        with suppress(OSError):
            await connection.writer.wait_closed()
