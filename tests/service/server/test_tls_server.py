"""Handshakes are connections too: they count, have a limit of time, and end with the server."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
import trustme

from service.access import tls
from service.server import tls_server
from service.server.connections import ConnectionLimits
from service.server.tls_server import TlsServer
from tests.certificates import issue
from tests.waiting import until_async

pytestmark = pytest.mark.anyio
BEGUN = b"\x16\x03\x01"  # of a handshake


class Echo(asyncio.Protocol):
    open: ClassVar[set["Echo"]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.open.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self.open.remove(self)

    def data_received(self, data: bytes) -> None:
        self._transport.write(b"echo " + data)


@dataclass
class Place:
    server: TlsServer
    port: int
    trust: ssl.SSLContext
    ended: list[str] = field(default_factory=list)
    connections: set[object] = field(default_factory=set)

    async def echo(self, said: bytes = b"hello") -> bytes:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.trust, server_hostname="localhost"
        )
        writer.write(said)
        answer = await asyncio.wait_for(reader.readexactly(5 + len(said)), 10)
        writer.close()
        await writer.wait_closed()
        return answer

    def begin(self, sent: bytes = BEGUN) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port))
        client.sendall(sent)
        client.setblocking(False)
        return client


@asynccontextmanager
async def serving(folder: Path, **limits: float) -> AsyncIterator[Place]:
    authority, trust = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trust)
    files = issue(authority, folder)
    ended: list[str] = []
    connections: set[object] = set()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    all_limits = ConnectionLimits(ended=ended.append, **limits)  # type: ignore[arg-type]
    context = tls.context(files.certificate, files.key)
    server = TlsServer(listener, context, Echo, connections, all_limits, 100)
    try:
        yield Place(server, listener.getsockname()[1], trust, ended, connections)
    finally:
        server.close()
        server.abort_handshakes()
        await server.wait_closed()
        listener.close()
        await until_async(lambda: not Echo.open)


async def is_closed(client: socket.socket) -> bool:
    loop = asyncio.get_running_loop()
    with client:
        try:
            return await asyncio.wait_for(loop.sock_recv(client, 100), 10) == b""
        except ConnectionError:
            return True


@pytest.mark.slow
async def test_connections_are_encrypted(tmp_path: Path) -> None:
    async with serving(tmp_path) as place:
        assert await place.echo() == b"echo hello"
        long = bytes(100_000)
        assert (await place.echo(long)).startswith(b"echo \0")
        assert await asyncio.gather(*(place.echo() for _ in range(20))) == [b"echo hello"] * 20
        assert place.ended == []


@pytest.mark.parametrize("sent", [b"", BEGUN], ids=["nothing", "a beginning"])
async def test_a_handshake_that_does_not_end_is_given_up(tmp_path: Path, sent: bytes) -> None:
    async with serving(tmp_path, head_timeout=0.2) as place:
        assert await is_closed(place.begin(sent))
        assert place.ended == ["unfinished_handshake"]
        assert await place.echo() == b"echo hello"


async def test_plain_http_hurts_nobody(tmp_path: Path) -> None:
    async with serving(tmp_path) as place:
        assert await is_closed(place.begin(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
        assert await place.echo() == b"echo hello"
        assert place.ended == []


async def test_handshakes_count_as_connections(tmp_path: Path) -> None:
    async with serving(tmp_path, max_connections=3) as place:
        place.connections.add("one whose handshake is over")
        waiting = [place.begin() for _ in range(2)]
        refused = [place.begin() for _ in range(3)]
        assert all([await is_closed(each) for each in refused])
        assert place.ended == ["refused"] * 3
        for each in waiting:
            with pytest.raises(BlockingIOError):
                each.recv(1)
            each.close()


async def test_the_oldest_makes_room_for_a_new_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_server, "IDLE_SECONDS", 0.0)
    async with serving(tmp_path, max_connections=2) as place:
        oldest, other = place.begin(), place.begin()
        assert await place.echo() == b"echo hello"
        assert await is_closed(oldest)
        assert place.ended == ["refused"]
        other.close()


async def test_they_end_with_the_server(tmp_path: Path) -> None:
    async with serving(tmp_path) as place:
        client = place.begin()
        assert await place.echo() == b"echo hello"  # so that the other is accepted
        place.server.close()
        place.server.abort_handshakes()
        await asyncio.wait_for(place.server.wait_closed(), 5)
        assert await is_closed(client)


async def test_without_a_file_for_another_connection_it_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_server, "PAUSE_SECONDS", 0.05)
    failed: list[socket.socket] = []

    def accept(self: socket.socket) -> tuple[socket.socket, object]:
        if len(failed) < 2:
            failed.append(self)
            raise OSError(24, "Too many open files")
        return original(self)

    original = socket.socket.accept
    monkeypatch.setattr(socket.socket, "accept", accept)
    async with serving(tmp_path) as place:
        assert await place.echo() == b"echo hello"
        await until_async(lambda: len(failed) == 2)
