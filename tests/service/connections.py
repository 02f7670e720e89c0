"""Connections to a service that runs in the test's own loop, byte by byte."""

import asyncio
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, ClassVar, NamedTuple

import pytest
import uvicorn

from models.preprocessing import Pixels
from service.app import Application
from service.inference.batcher import Batcher
from service.inference.engine import PredictionResult
from service.server.protocol import LimitedHttpProtocol
from tests.networks import encode, picture
from tests.service.held_run import HeldRun
from tests.waiting import until_async

PREDICT = "/v1/models/colors/predict"
IMAGE = encode(picture(0))
FORM = "multipart/form-data; boundary=x"
Address = tuple[str, int]
UVLOOP = pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")  # as the service does
Serving = Callable[..., Any]  # of settings, to a context with a `Client`
Headers = dict[str, str]


class WatchedProtocol(LimitedHttpProtocol):
    """Tells what is connected, and how much was read of each client; for one server at a time."""

    connected: ClassVar[set[LimitedHttpProtocol]] = set()
    bytes_read: ClassVar[Counter[Address]] = Counter()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.connected.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.connected.discard(self)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.bytes_read[self.transport.get_extra_info("peername")] += len(data)


class Answered(NamedTuple):
    status: int
    headers: Headers
    body: bytes

    @property
    def told(self) -> dict[str, Any]:
        """What is said of the request, without its id."""
        document: dict[str, Any] = json.loads(self.body)
        document.pop("request_id", None)
        return document


class Client:
    """A connection to a service that runs in this loop, and what became of its requests."""

    def __init__(self, app: Application, address: Address, taken: list[bool]) -> None:
        self.app, self.taken, self._address = app, taken, address
        self._others: list[Client] = []
        self._held: list[HeldRun[Pixels, PredictionResult]] = []

    async def connect(self) -> None:
        self.reader, self.writer = await asyncio.open_connection(*self._address)

    async def another(self) -> "Client":
        client = Client(self.app, self._address, self.taken)
        await client.connect()
        self._others.append(client)
        return client

    async def close(self) -> None:
        for held in self._held:
            held.let_go.set()
        for each in (self, *self._others):
            await each.leave()

    async def leave(self, *, abruptly: bool = False) -> None:
        """Close the connection, or break it off; a server that reads nothing doesn't notice yet."""
        if abruptly:
            self.writer.transport.abort()
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    async def answer(self) -> Answered:
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)).decode()
        line, *lines = head.strip().split("\r\n")
        headers = dict(each.lower().split(": ", 1) for each in lines)
        body = await self.reader.readexactly(int(headers["content-length"]))
        return Answered(int(line.split()[1]), headers, body)

    async def send(self, piece: bytes) -> None:
        """Send it, and wait until the server has read it."""
        address = self.writer.get_extra_info("sockname")
        expected = WatchedProtocol.bytes_read[address] + len(piece)
        self.writer.write(piece)
        await until_async(lambda: WatchedProtocol.bytes_read[address] >= expected)

    async def post(self, body: bytes = IMAGE, **request: Any) -> Answered:
        self.writer.write(post(body, **request))
        return await self.answer()

    @property
    def batcher(self) -> Batcher[Pixels, PredictionResult]:
        return self.app.state.repository.get("colors", None).batcher  # type: ignore[no-any-return]

    def hold(self) -> HeldRun[Pixels, PredictionResult]:
        """Batches wait until they are let go, or the test is over."""
        held = HeldRun(self.batcher)
        self._held.append(held)
        return held


def post(
    body: bytes = IMAGE,
    path: str = PREDICT,
    type: str = "image/png",
    version: str = "1.1",
    **headers: str,
) -> bytes:
    """The bytes of a request."""
    own = {"Host": "x", "Content-Type": type, "Content-Length": str(len(body)), **headers}
    lines = (f"{name.replace('_', '-')}: {own[name]}\r\n" for name in own)
    return f"POST {path} HTTP/{version}\r\n{''.join(lines)}\r\n".encode() + body


def form(*images: bytes) -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
    return b"".join(head + image + b"\r\n" for image in images) + b"--x--\r\n"


@asynccontextmanager
async def listening(app: Any, **settings: Any) -> AsyncIterator[Address]:
    """An application behind our protocol, until the block ends."""
    WatchedProtocol.bytes_read.clear()
    WatchedProtocol.connected.clear()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, **{"http": WatchedProtocol, "log_config": None, **settings})
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve([listener]))
        await until_async(lambda: server.started)
        try:
            yield listener.getsockname()
        finally:
            server.should_exit = True
            await running
