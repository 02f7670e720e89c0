"""A server that was told to end says so, answers what it accepted, and loses nothing."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from service.app import Application, create_app
from service.server import listening
from service.server.draining import DrainingServer
from service.settings import Settings
from tests.service.connections import UVLOOP, Client, WatchedProtocol, post
from tests.waiting import until_async

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.parametrize("anyio_backend", [pytest.param("asyncio", id="asyncio"), UVLOOP]),
]
GET = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n"
GRACE = 60.0  # seconds that no test waits for


@dataclass
class Service:
    server: DrainingServer
    client: Client
    running: "asyncio.Task[None]"
    listener: socket.socket

    async def end(self, grace: float = GRACE) -> None:
        """As a signal does; returns when the connections know."""
        self.server.grace = grace
        self.server.handle_exit(signal.SIGTERM, None)
        await until_async(lambda: self.server.server_state.draining)

    async def refuses(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(*self.listener.getsockname())
        except OSError:
            return True
        writer.close()
        return False


@asynccontextmanager
async def draining(repository: Path) -> AsyncIterator[Service]:
    WatchedProtocol.bytes_read.clear()
    app = create_app(Settings(repository=repository, device="cpu"))
    assert isinstance(app, Application)
    [listener] = listening.bind("127.0.0.1", 0)
    address = listener.getsockname()
    config = uvicorn.Config(app, http=WatchedProtocol, log_config=None, proxy_headers=False)
    server = DrainingServer(config, grace=GRACE)
    running = asyncio.create_task(server.serve([listener]))
    await until_async(lambda: server.started or running.done())
    client = Client(app, address, [])
    await client.connect()
    service = Service(server, client, running, listener)
    try:
        yield service
    finally:
        await client.close()
        if not server.should_exit:
            await service.end(0)
        server.grace_is_over()
        await running


@pytest.fixture
async def service(repository: Path) -> AsyncIterator[Service]:
    async with draining(repository) as service:
        yield service


async def test_it_says_so_at_once_and_still_answers(service: Service) -> None:
    await service.end()
    for path, status in (
        (b"/health/ready", 503),
        (b"/health/live", 200),
        (b"/v1/models", 200),
        (b"/nowhere", 404),
    ):
        other = await service.client.another()  # it still accepts
        await other.send(GET % path)
        answer = await other.answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert await other.reader.read() == b""
    other = await service.client.another()
    answer = await other.post()  # by the fast path
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await other.reader.read() == b""


async def test_ready_says_why(service: Service) -> None:
    await service.end()
    await service.client.send(GET % b"/health/ready")
    answer = await service.client.answer()
    assert "about to end" in answer.told["detail"]
    assert "retry-after" in answer.headers


@pytest.mark.parametrize("request_", [post(), GET % b"/v1/models"], ids=["fast path", "usual way"])
async def test_an_idle_connection_is_closed_by_its_next_answer(
    service: Service, request_: bytes
) -> None:
    client = service.client
    await client.send(request_)
    answer = await client.answer()
    assert answer.headers.get("connection") != "close"
    await service.end()
    await client.send(request_)
    answer = await client.answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await client.reader.read() == b""


async def test_an_idle_connection_is_closed_when_the_grace_period_is_over(
    service: Service,
) -> None:
    await service.client.post()
    await service.end(0)
    assert await service.client.reader.read() == b""
    await service.running
    assert await service.refuses()


@pytest.mark.parametrize("form", ["fast path", "usual way"])
async def test_what_was_accepted_is_answered_after_it(service: Service, form: str) -> None:
    held = service.client.hold()
    await service.client.send(post() if form == "fast path" else post(Connection="close"))
    await until_async(held.started.is_set)
    await service.end(0)
    await until_async(lambda: not service.server.servers[0].is_serving())
    held.let_go.set()
    answer = await service.client.answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    await service.running


async def test_a_request_that_has_begun_is_read_to_its_end(service: Service) -> None:
    request = post()
    other = await service.client.another()
    await service.client.send(request[:20])
    await other.send(request[:-20])
    await service.end(0)
    await until_async(lambda: not service.server.servers[0].is_serving())
    for client, rest in ((service.client, request[20:]), (other, request[-20:])):
        await client.send(rest)
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
    await service.running


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
async def test_only_the_last_answer_of_a_pipeline_closes(service: Service, late: bool) -> None:
    held = service.client.hold()
    await service.client.send(post())
    await until_async(held.started.is_set)
    if not late:
        await service.client.send(GET % b"/v1/models" + post())
    await service.end()
    if late:
        await service.client.send(GET % b"/v1/models" + post())
    held.let_go.set()
    answers = [await service.client.answer() for _ in range(3)]
    assert [each.status for each in answers] == [200] * 3
    assert [each.headers.get("connection") for each in answers] == [None, None, "close"]
    assert await service.client.reader.read() == b""


async def test_what_has_connected_is_answered_although_the_listener_closes(
    service: Service,
) -> None:
    """A client that connects and sends while the server stops listening."""
    await service.end(0)
    answers = 0
    while not service.running.done():
        try:
            reader, writer = await asyncio.open_connection(*service.listener.getsockname())
        except OSError:
            break
        writer.write(post())
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        answers += 1
    assert answers
    await service.running


async def test_a_backlog_that_can_not_be_accepted_does_not_hold_up_the_end(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "BACKLOG_SECONDS", 0.1)
    listener, has_input = service.listener.fileno(), listening.has_input
    # as where no file is free: a connection waits, and nobody can accept it
    monkeypatch.setattr(listening, "has_input", lambda file: file == listener or has_input(file))
    await service.end(grace=0)
    await asyncio.wait_for(service.running, 30)


async def test_a_signal_while_it_loads_ends_it(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading = asyncio.Event()

    async def never(*_: object) -> Any:
        loading.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("service.repository.loading.Loader.load", never)
    app = create_app(Settings(repository=repository, device="cpu"))
    [listener] = listening.bind("127.0.0.1", 0)
    config = uvicorn.Config(app, http=WatchedProtocol, log_config=None, proxy_headers=False)
    server = DrainingServer(config, GRACE)
    running = asyncio.create_task(server.serve([listener]))
    await loading.wait()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*listener.getsockname())
    server.handle_exit(signal.SIGTERM, None)
    await running
    assert not server.started
    listener.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux drops what asks for a connection")
async def test_what_is_held_back_is_refused_later(anyio_backend: Any) -> None:
    [listener] = listening.bind("127.0.0.1", 0)
    listener.listen()
    with socket.create_connection(listener.getsockname()) as before:
        listening.hold_back(listener)
        assert listening.has_input(listener.fileno())
        with pytest.raises(TimeoutError):
            socket.create_connection(listener.getsockname(), timeout=0.1)
        accepted, _ = listener.accept()
        assert not listening.has_input(listener.fileno())
        with accepted:
            before.sendall(b"x")
            assert accepted.recv(1) == b"x"
    later = asyncio.ensure_future(asyncio.open_connection(*listener.getsockname()))
    await asyncio.sleep(0)
    listener.close()
    with pytest.raises(ConnectionRefusedError):
        await later
