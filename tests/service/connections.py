"""Connections to a service that runs in the test's own loop, byte by byte."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import pytest
import uvicorn

from models.preprocessing import Pixels
from service.app import Application
from service.batching import Batcher
from service.engine import Answer
from service.protocol import BoundedProtocol
from tests.networks import encode, picture

PREDICT = "/v1/models/colors/predict"
IMAGE = encode(picture(0))
FORM = "multipart/form-data; boundary=x"
Address = tuple[str, int]
UVLOOP = pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")  # as the service does
Serving = Callable[..., Any]  # of settings, to a context with a `Client`
Headers = dict[str, str]


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
        self._held: list[asyncio.Event] = []

    async def connect(self) -> None:
        self.reader, self.writer = await asyncio.open_connection(*self._address)

    async def another(self) -> "Client":
        client = Client(self.app, self._address, self.taken)
        await client.connect()
        self._others.append(client)
        return client

    async def close(self) -> None:
        for free in self._held:
            free.set()
        for each in (self, *self._others):
            each.writer.close()
            with suppress(ConnectionError):
                await each.writer.wait_closed()

    async def answer(self) -> Answered:
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)).decode()
        line, *lines = head.strip().split("\r\n")
        headers = dict(each.lower().split(": ", 1) for each in lines)
        body = await self.reader.readexactly(int(headers["content-length"]))
        return Answered(int(line.split()[1]), headers, body)

    async def post(self, body: bytes = IMAGE, **request: Any) -> Answered:
        self.writer.write(post(body, **request))
        return await self.answer()

    @property
    def batcher(self) -> Batcher[Pixels, Answer]:
        return self.app.state.repository.ready("colors", None).batcher  # type: ignore[no-any-return]

    def hold(self) -> asyncio.Event:
        """Batches wait until the event is set, or the test is over."""
        free, run = asyncio.Event(), self.batcher._run
        self._held.append(free)

        async def wait(pictures: list[Pixels]) -> Any:
            await free.wait()
            return await run(pictures)

        self.batcher._run = wait
        return free


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
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, **{"http": BoundedProtocol, "log_config": None, **settings})
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve([listener]))
        while not server.started:  # noqa: ASYNC110 (uvicorn has no event for it)
            await asyncio.sleep(0.01)
        try:
            yield listener.getsockname()
        finally:
            server.should_exit = True
            await running
