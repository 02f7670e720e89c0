"""Clients that keep the server waiting: with half a request, with none, or with their answers."""

import asyncio
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any

import pytest

from service.server import connections
from service.server.coalescing import MAX_UNWANTED
from service.server.connections import ConnectionLimits
from tests.service.connections import UVLOOP, Address, WatchedProtocol, listening
from tests.waiting import spend_async, until_async

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", [UVLOOP, "asyncio"]),
    pytest.mark.slow,
]
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"
WHOLE = HEAD + b"\r\n"
LARGE = 2**23  # bytes: more than the sockets of both sides take
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"


class App:
    """Answers with so many bytes, once it may; a POST at once, without its body."""

    def __init__(self, size: int = 2, **limits: Any) -> None:
        self.ended: Counter[str] = Counter()
        self.connection_limits = ConnectionLimits(ended=self._count, **limits)
        self.size, self.begun = size, 0
        self.free = asyncio.Event()
        self.free.set()

    def _count(self, reason: str) -> None:
        self.ended[reason] += 1

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.begun += 1
        await self.free.wait()
        status = 401 if scope["method"] == "POST" else 200
        body = b"x" * (self.size if status == 200 else 2)
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(app: App) -> AsyncIterator[Callable[[], socket.socket]]:
    """Opens connections to the app, which take little that they don't read."""
    async with listening(app, lifespan="off", proxy_headers=False) as address:
        with ExitStack() as opened:

            def connect() -> socket.socket:
                client = opened.enter_context(connecting(address))
                client.setblocking(False)
                return client

            try:
                yield connect
            finally:
                app.free.set()


@contextmanager
def connecting(address: Address) -> Iterator[socket.socket]:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
        client.connect(address)
        yield client


async def all_of(client: socket.socket, seconds: float = 10) -> bytes:
    """What comes until the server closes or breaks off; fails if it does neither."""
    received, loop = b"", asyncio.get_running_loop()
    with suppress(ConnectionError):
        async with asyncio.timeout(seconds):
            while more := await loop.sock_recv(client, 2**16):
                received += more
    return received


async def one_of(client: socket.socket) -> bytes:
    """What comes next."""
    received = asyncio.get_running_loop().sock_recv(client, 2**16)
    return await asyncio.wait_for(received, 10)


async def begun(app: App, requests: int) -> None:
    await until_async(lambda: app.begun == requests)


async def is_open(client: socket.socket) -> bool:
    """Whether the server answers a request here."""
    with suppress(ConnectionError):
        client.send(WHOLE)
        return b" 200 OK" in await one_of(client)
    return False


class TestHeads:
    @pytest.mark.parametrize(
        "start",
        [b"G", b"GET / HT", HEAD, HEAD + b"X: a", b"\r\n", POST + b"Upgrade: h2c\r\n"],
    )
    async def test_that_does_not_end_gets_408(self, start: bytes) -> None:
        app = App(head_timeout=0.1)
        async with serving(app) as connect:
            client = connect()
            client.send(start)
            answer = await all_of(client)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"within 100 ms (setting head_timeout)" in answer
        assert (app.begun, app.ended) == (0, {"unfinished_head": 1})

    @pytest.mark.parametrize("start", [b"G", b"GET / HT", HEAD])
    async def test_that_begins_with_the_request_before_gets_408_too(self, start: bytes) -> None:
        app = App(head_timeout=0.1)
        async with serving(app) as connect:
            client = connect()
            client.send(WHOLE + start)
            answer = await all_of(client)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"HTTP/1.1 408 " in answer
        assert app.ended == {"unfinished_head": 1}

    @pytest.mark.parametrize("drop", [b"a", b"\r\n"])
    async def test_drops_do_not_extend_the_time(self, drop: bytes) -> None:
        app = App(head_timeout=0.2)
        async with serving(app) as connect:
            client = connect()
            client.send(drop if drop == b"\r\n" else HEAD + b"X: ")
            answer = asyncio.create_task(all_of(client))
            while not answer.done():
                with suppress(ConnectionError):
                    client.send(drop)
                await asyncio.wait([answer], timeout=0.02)
        assert (await answer).startswith(b"HTTP/1.1 408 ")

    async def test_behind_a_whole_one(self) -> None:
        """The first is answered, however long that takes, and only then does the time begin."""
        app = App(head_timeout=0.1)
        app.free.clear()
        async with serving(app) as connect:
            client, other = connect(), connect()
            client.send(WHOLE + HEAD)
            other.send(HEAD)
            assert b" 408 " in await all_of(other)
            assert not app.ended["idle"]
            app.free.set()
            assert b" 200 OK" in await one_of(client)
            client.send(b"X: a")
            assert b" 408 " in await all_of(client)

    async def test_a_client_that_asks_often_enough_is_no_slow_head(self) -> None:
        app = App(head_timeout=0.1)
        async with serving(app) as connect:
            client = connect()
            for _ in range(15):
                client.send(HEAD)
                await spend_async(0.03)
                client.send(b"\r\n")
                assert b" 200 OK" in await one_of(client)
        assert not app.ended


class TestIdle:
    @pytest.mark.parametrize("sent", [b"", WHOLE], ids=["never used", "used"])
    async def test_connection_is_closed_without_a_word(self, sent: bytes) -> None:
        app = App(idle_timeout=0.1)
        async with serving(app) as connect:
            client = connect()
            client.send(sent)
            answer = await all_of(client)
            assert answer.count(b"HTTP/1.1 ") == (1 if sent else 0)
        assert app.ended == {"idle": 1}

    async def test_thousands_are_closed(self) -> None:
        app = App(idle_timeout=1.0, head_timeout=0.5)
        async with serving(app) as connect:
            clients = [connect() for _ in range(400)]
            for client in clients[::2]:
                client.send(HEAD)
            await until_async(lambda: app.ended.total() == 400)
            await until_async(lambda: not WatchedProtocol.connected)
        assert app.ended == {"idle": 200, "unfinished_head": 200}


class TestAnswers:
    @pytest.mark.parametrize("half_closed", [False, True])
    async def test_that_nobody_takes_are_broken_off(self, half_closed: bool) -> None:
        app = App(LARGE, send_timeout=0.1)
        async with serving(app) as connect:
            client = connect()
            client.send(WHOLE * 5)
            await until_async(lambda: app.begun)
            if half_closed:
                client.shutdown(socket.SHUT_WR)
            await until_async(lambda: not WatchedProtocol.connected)
        assert app.ended == {"untaken_answer": 1}
        assert app.begun == 1  # nothing is begun for a client that takes nothing

    async def test_that_are_taken_in_drops_are_broken_off(self) -> None:
        app = App(LARGE, send_timeout=0.2)
        async with serving(app) as connect:
            client = connect()
            client.send(WHOLE)
            while WatchedProtocol.connected or not app.begun:
                with suppress(BlockingIOError, ConnectionError):
                    client.recv(10)
                await spend_async(0.01)
        assert app.ended == {"untaken_answer": 1}

    async def test_that_are_taken_slowly_arrive(self) -> None:
        app = App(LARGE, send_timeout=0.5)
        async with serving(app) as connect:
            client, received = connect(), 0
            client.send(WHOLE)
            before = asyncio.get_running_loop().time()
            while received < LARGE:
                received += len(await one_of(client))
                await spend_async(0.01)
            assert asyncio.get_running_loop().time() - before > 1  # twice the time limit
            assert await is_open(client)
        assert not app.ended

    async def test_of_a_pipelining_client_come_one_after_the_other(self) -> None:
        app = App(LARGE)
        async with serving(app) as connect:
            client = connect()
            client.send(WHOLE * 3)
            await until_async(lambda: app.begun)
            received = 0
            while received < 3 * LARGE:
                received += len(await one_of(client))
            assert app.begun == 3
            client.send(WHOLE)
            await until_async(lambda: app.begun == 4)

    async def test_are_bounded_together(self) -> None:
        """The slowest are broken off; one that is taken arrives."""
        app = App(2 * LARGE, max_unsent_bytes=4 * LARGE)
        async with serving(app) as connect:
            takers = [connect() for _ in range(12)]
            for count, client in enumerate(takers, start=1):
                client.send(WHOLE)
                await begun(app, count)
            await until_async(lambda: app.ended["untaken_answer"] >= 4)
            assert sum(each.unsent() for each in WatchedProtocol.connected) <= 4 * LARGE
            received = 0
            while received < 2 * LARGE:
                received += len(await one_of(takers[-1]))
        assert app.ended["untaken_answer"] < 12

    async def test_of_any_size_are_sent(self) -> None:
        app = App(LARGE, max_unsent_bytes=2**20)
        async with serving(app) as connect:
            client, received = connect(), 0
            client.send(WHOLE)
            while received < LARGE:
                received += len(await one_of(client))
        assert not app.ended


async def all_at_work(
    app: App, connect: Callable[[], socket.socket], count: int
) -> list[socket.socket]:
    """So many connections, each with a request that is being answered."""
    clients = [connect() for _ in range(count)]
    for client in clients:
        client.send(WHOLE)
    await until_async(lambda: app.begun == count)
    return clients


class TestNumber:
    async def test_too_many_get_503(self) -> None:
        app = App(max_connections=3)
        app.free.clear()
        async with serving(app) as connect:
            old = await all_at_work(app, connect, 3)
            for _ in range(5):
                answer = await all_of(connect())
                assert answer.startswith(b"HTTP/1.1 503 ")
                assert b"\r\nretry-after: 1\r\n" in answer
                assert b"3 connections" in answer
                assert b"(setting max_connections)" in answer
            app.free.set()
            for client in old:
                assert b" 200 OK" in await one_of(client)
            old[0].close()
            await until_async(lambda: len(WatchedProtocol.connected) == 2)
            assert await is_open(connect())
        assert app.ended["refused"] == 5

    async def test_a_flood_is_broken_off(self) -> None:
        """Not even the time to say so is for all of them."""
        app = App(max_connections=3)
        app.free.clear()
        async with serving(app) as connect:
            old = await all_at_work(app, connect, 3)
            flood = [connect() for _ in range(300)]
            await until_async(lambda: app.ended["refused"] == 300)
            most = 3 + connections.MAX_REFUSED + 1
            await until_async(lambda: len(WatchedProtocol.connected) <= most, seconds=1)
            answers = await asyncio.gather(*map(all_of, flood))
            assert all(not each or each.startswith(b"HTTP/1.1 503 ") for each in answers)
            await until_async(lambda: len(WatchedProtocol.connected) == 3)
            app.free.set()
            for client in old:
                assert b" 200 OK" in await one_of(client)

    @pytest.mark.parametrize("sent", [b"", HEAD, WHOLE], ids=["new", "half a head", "used"])
    async def test_the_idlest_makes_room(
        self, sent: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connections, "IDLE_SECONDS", 0.2)
        monkeypatch.setattr(connections, "MAX_LOOK_SECONDS", 0.05)
        app = App(max_connections=4)
        async with serving(app) as connect:
            idle, busy = connect(), [connect() for _ in range(3)]
            idle.send(sent)
            await until_async(lambda: len(WatchedProtocol.connected) == 4)
            for _ in range(20):
                assert all([await is_open(client) for client in busy])
                await spend_async(0.02)
            assert await is_open(connect())
            assert all([await is_open(client) for client in busy])
            await all_of(idle)
        assert app.ended.total() == 1
        assert not app.ended["refused"]


class TestEarlyAnswers:
    """To a request whose body has not arrived."""

    @pytest.mark.parametrize(
        "head",
        [
            POST + b"Content-Length: 31000000\r\n\r\n",
            POST + b"Content-Length: 000000000000000000000031000000\r\n\r\n",
            POST + b"Connection: close\r\nContent-Length: 31000000\r\n\r\n",
            POST.replace(b"1.1", b"1.0") + b"Content-Length: 31000000\r\n\r\n",
            POST + b"Upgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 31000000\r\n\r\n",
            CHUNKED + b"1d905c0\r\n",
        ],
    )
    async def test_end_the_connection_and_little_is_read(
        self, head: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connections, "GOODBYE_SECONDS", 0.2)
        async with serving(App(head_timeout=1)) as connect:
            client, loop = connect(), asyncio.get_running_loop()
            client.send(head)
            sending = asyncio.create_task(loop.sock_sendall(client, bytes(31_000_000)))
            answer = await one_of(client)
            await asyncio.wait([sending])
            assert answer.startswith(b"HTTP/1.1 401 ")
            assert answer.count(b"\r\nconnection: close\r\n") == 1
            assert isinstance(sending.exception(), ConnectionError)
            assert WatchedProtocol.bytes_read.total() < MAX_UNWANTED + 2**19
            await until_async(lambda: not WatchedProtocol.connected)

    async def test_a_client_that_sends_no_more_has_the_time_to_read(self) -> None:
        async with serving(App()) as connect:
            client = connect()
            client.send(POST + b"Content-Length: 31000000\r\n\r\n" + bytes(10_000))
            assert (await all_of(client)).startswith(b"HTTP/1.1 401 ")
            assert WatchedProtocol.connected
            client.close()
            await until_async(lambda: not WatchedProtocol.connected, seconds=1)

    async def test_a_small_body_is_read_and_the_connection_stays(self) -> None:
        async with serving(App()) as connect:
            client = connect()
            client.send(POST + b"Content-Length: 100\r\n\r\n" + bytes(50))
            answer = await one_of(client)
            assert answer.startswith(b"HTTP/1.1 401 ")
            assert b"connection: close" not in answer
            client.send(bytes(50))
            assert await is_open(client)

    async def test_a_small_body_that_does_not_come_ends_it(self) -> None:
        app = App(head_timeout=0.1)
        async with serving(app) as connect:
            client = connect()
            client.send(POST + b"Content-Length: 100\r\n\r\n" + bytes(50))
            assert (await all_of(client)).count(b"HTTP/1.1 ") == 1
        assert app.ended == {"unwanted_body": 1}

    async def test_a_body_that_awaits_100_continue_is_not_taken_for_a_request(self) -> None:
        """It may come or not: nobody could say where the next request begins."""
        async with serving(App()) as connect:
            client = connect()
            client.send(POST + b"Content-Length: 41\r\nExpect: 100-continue\r\n\r\n")
            answer = await one_of(client)
            assert b"\r\nconnection: close\r\n" in answer
            client.send(WHOLE)
            assert b" 200 OK" not in await all_of(client)


class TestGarbage:
    """Behind a whole request, in the same segment."""

    @pytest.mark.parametrize("first", [WHOLE, WHOLE * 3, CHUNKED + b"0\r\n\r\n"])
    @pytest.mark.parametrize(
        "garbage",
        [
            b"garbage\r\n\r\n",
            b"\0\1\2\xff",
            b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",  # TLS
            POST + b"Content-Length: -1\r\n\r\n",
            POST + b"Transfer-Encoding: gzip\r\n\r\n",
            HEAD + b"X: " + b"a" * 70_000 + b"\r\n\r\n",
        ],
    )
    async def test_the_request_is_answered_first(self, first: bytes, garbage: bytes) -> None:
        app = App()
        app.free.clear()
        async with serving(app) as connect:
            client = connect()
            client.sendall(first + garbage)
            await until_async(lambda: app.begun)
            app.free.set()
            answer = await all_of(client)
            expected = max(1, first.count(b"GET"))
            statuses = re.findall(rb"HTTP/1\.1 (\d+) ", answer)
            assert statuses[:-1] == [b"401" if b"POST" in first else b"200"] * expected
            assert statuses[-1] == b"400"
            assert app.begun == expected
