"""HTTP: what is not a body has bounds, and an answer is one packet."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from service.server.protocol import MAX_HEAD, MAX_PIPELINED
from tests.service.connections import listening
from tests.waiting import spend_async, until_async

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
MUCH = b"a" * 2**19  # more than is read at once


class App:
    """Answers with the length of the body, once it may; counts the requests that began."""

    def __init__(self) -> None:
        self.begun = 0
        self.free = asyncio.Event()
        self.free.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.begun += 1
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size, more = size + len(message["body"]), message["more_body"]
        await self.free.wait()
        body = str(size).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(
    app: App, **settings: Any
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to the app."""
    async with listening(app, **{"lifespan": "off", **settings}) as address:
        reader, writer = await asyncio.open_connection(*address)
        yield reader, writer
        writer.close()


async def answer(reader: asyncio.StreamReader) -> bytes:
    """The next answer, which has a body."""
    head = await reader.readuntil(b"\r\n\r\n")
    [length] = re.findall(rb"content-length: (\d+)", head)
    return head + await reader.readexactly(int(length))


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the connection ends."""
    received = b""
    with suppress(ConnectionError):
        while more := await reader.read(100_000):
            received += more
    return received


@pytest.mark.parametrize(
    "flood",
    [
        HEAD + b"X: " + MUCH,
        HEAD + b"X: a\r\n" * 10_000,
        b"GET /" + MUCH,
        b"\r\n" * len(MUCH),
        CHUNKED + b"X: " + MUCH,
        CHUNKED + b"X: a\r\n" * 10_000,
        CHUNKED[:-3] + b"1;" + MUCH,
    ],
    ids=["header", "headers", "address", "empty lines", "trailer", "trailers", "chunk extension"],
)
@pytest.mark.parametrize("piece", [2**20, 10_000])
async def test_a_flood_is_cut_off(flood: bytes, piece: int) -> None:
    app = App()
    async with serving(app) as (reader, writer):
        for start in range(0, len(flood), piece):
            writer.write(flood[start : start + piece])
            await asyncio.sleep(0)
        received = await rest(reader)
        assert b" 200 OK" not in received
        if received:  # a client that still sends may lose the answer
            assert received.startswith(b"HTTP/1.1 400 ")
            assert received.endswith(b"may have 65,536 bytes together.")


@pytest.mark.parametrize("head", [HEAD, CHUNKED])
async def test_a_long_head_is_taken(head: bytes) -> None:
    async with serving(App()) as (reader, writer):
        writer.write(head + b"X: " + b"a" * (MAX_HEAD // 2) + b"\r\n\r\n")
        assert (await answer(reader)).startswith(b"HTTP/1.1 200 OK")


async def test_a_body_of_many_small_chunks_is_taken() -> None:
    async with serving(App()) as (reader, writer):
        writer.write(CHUNKED[:-3] + b"1\r\na\r\n" * MAX_HEAD + b"0\r\n\r\n")
        assert (await answer(reader)).endswith(b"\r\n\r\n%d" % (MAX_HEAD + 1))


@pytest.mark.parametrize("extra", [0, 1])
async def test_few_requests_wait_for_an_answer(extra: int) -> None:
    app = App()
    app.free.clear()
    async with serving(app) as (reader, writer):
        writer.write((HEAD + b"\r\n") * (1 + MAX_PIPELINED + extra))
        await until_async(lambda: app.begun)
        assert app.begun == 1
        app.free.set()
        for _ in range(1 + MAX_PIPELINED):
            assert b" 200 OK" in await answer(reader)
        if extra:
            assert b"At most 32 requests of a connection" in await rest(reader)
        else:
            writer.write(HEAD + b"\r\n")
            assert b" 200 OK" in await answer(reader)


async def test_an_answer_is_one_packet() -> None:
    loop = asyncio.get_running_loop()
    async with serving(App()) as (_, writer):
        connection = writer.transport.get_extra_info("socket")
        with socket.create_connection(connection.getpeername()) as client:
            client.setblocking(False)
            client.sendall(HEAD + b"\r\n")
            packet = await asyncio.wait_for(loop.sock_recv(client, 2**16), 5)
    assert packet.endswith(b"\r\n\r\n0")


async def test_an_answer_arrives_also_where_the_connection_closes() -> None:
    async with serving(App()) as (reader, writer):
        writer.write(HEAD + b"Connection: close\r\n\r\n")
        assert (await rest(reader)).endswith(b"\r\n\r\n0")


async def test_a_connection_stays_open_as_long_as_it_is_used() -> None:
    async with serving(App(), timeout_keep_alive=1) as (reader, writer):
        for _ in range(5):  # together longer than the second
            writer.write(HEAD + b"\r\n")
            assert (await answer(reader)).endswith(b"\r\n\r\n0")
            await spend_async(0.3)
            assert not reader.at_eof()
        assert await asyncio.wait_for(reader.read(), 5) == b""


async def test_a_connection_stays_open_while_its_answer_is_awaited() -> None:
    app = App()
    async with serving(app, timeout_keep_alive=0.2) as (reader, writer):
        writer.write(HEAD + b"\r\n")
        await reader.readuntil(b"\r\n\r\n0")
        app.free.clear()
        writer.write(HEAD + b"\r\n")
        await spend_async(0.3)
        assert not reader.at_eof()
        app.free.set()
        assert (await answer(reader)).endswith(b"\r\n\r\n0")


async def test_an_answer_without_a_body_is_sent() -> None:
    async with serving(App()) as (reader, writer):
        writer.write(HEAD.replace(b"GET", b"HEAD") + b"\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.endswith(b"content-length: 1\r\n\r\n")
