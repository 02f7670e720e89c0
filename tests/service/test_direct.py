"""Predictions that are answered without a task: as the application would, and only if usual."""

import asyncio
import gc
import json
import shutil
import socket
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import uvicorn
from PIL import Image
from structlog.testing import capture_logs

from models.preprocessing import Pixels
from service.app import Application, create_app
from service.batching import Batcher
from service.engine import Answer
from service.protocol import BoundedProtocol
from service.settings import Settings
from tests.networks import encode, picture
from tests.service.test_predict import PREDICT

pytestmark = pytest.mark.anyio
IMAGE = encode(picture(0))
JPEG = encode(picture(0), "JPEG")
FORM = "multipart/form-data; boundary=x"
Headers = dict[str, str]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}  # as the service does


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

    def __init__(self, app: Application, address: tuple[str, int], taken: list[bool]) -> None:
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


Serving = Callable[..., Any]


@pytest.fixture
def serving(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Serving:
    """Start the service with these settings, by default on two processors."""
    monkeypatch.setattr("service.processors.available", lambda: 2)

    @asynccontextmanager
    async def serve(**settings: Any) -> AsyncIterator[Client]:
        app = create_app(Settings(repository=repository, device="cpu", **settings))
        assert isinstance(app, Application)
        taken: list[bool] = []
        take = app.direct.take

        def recorded(*arguments: Any) -> Any:
            exchange = take(*arguments)
            taken.append(exchange is not None)
            return exchange

        monkeypatch.setattr(app.direct, "take", recorded)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            common: Any = {"lifespan": "on", "log_config": None, "proxy_headers": False}
            config = uvicorn.Config(app, http=BoundedProtocol, **common)
            server = uvicorn.Server(config)
            running = asyncio.create_task(server.serve([listener]))
            while not server.started:  # noqa: ASYNC110 (uvicorn has no event for it)
                await asyncio.sleep(0.01)
            await app.state.repository.loaded()
            client = Client(app, listener.getsockname(), taken)
            await client.connect()
            try:
                yield client
            finally:
                await client.close()
                server.should_exit = True
                await running
            assert not app.state.receiver.rounds._patient  # who waits for the time is forgotten

    return serve


USUAL: list[dict[str, Any]] = [
    {},
    {"path": f"{PREDICT}?top_k=1"},
    {"path": f"{PREDICT}?version=1&top_k=2"},
    {"body": form(IMAGE), "type": FORM},
    {"body": form(IMAGE, encode(picture(1)), encode(picture(2, (20, 9)))), "type": FORM},
    {"X_Request_ID": "mine"},
]
UNUSUAL: list[dict[str, Any]] = [
    {"body": JPEG, "type": "image/jpeg"},
    {"body": form(IMAGE, JPEG), "type": FORM},
    {"body": form(*[IMAGE] * 5), "type": FORM},
    {"path": PREDICT.replace("colors", "c%6flors")},
    {"Connection": "close"},
    {"version": "1.0", "Connection": "keep-alive"},
    {"path": f"{PREDICT}?top_k=2&unused={'a' * 300}"},
    {"path": f"{PREDICT}?top_k=1&x=#&top_k=3"},
    {"path": f"http://x{PREDICT}?top_k=1"},
]
WRONG: list[dict[str, Any]] = [
    {"body": b""},
    {"body": IMAGE[:60]},
    {"body": IMAGE, "type": "image/jpeg"},
    {"type": "text/plain"},
    {"body": b"nothing", "type": FORM},
    {"body": form(IMAGE, b"nothing"), "type": FORM},
    {"path": f"{PREDICT}?top_k=0"},
    {"path": f"{PREDICT}?version=9"},
    {"path": PREDICT.replace("colors", "none")},
    {"path": PREDICT.replace("predict", "preditc")},
    {"body": form(IMAGE, IMAGE, IMAGE), "type": FORM},
    {"body": encode(picture(0, (5, 13)))},
    {"body": IMAGE + bytes(1024)},
]


async def compare(client: Client, request: dict[str, Any], usual: bool) -> Answered:
    """The answer, after checking that the application gives the same."""
    client.taken.clear()
    own = await (await client.another()).post(**request)
    assert any(client.taken) == usual, request
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client.app.direct, "take", lambda *_: None)
        other = await (await client.another()).post(**request)
    assert (own.told, own.status) == (other.told, other.status)
    assert own.headers.keys() == other.headers.keys()
    for name in own.headers.keys() - {"date", "server-timing", "x-request-id", "content-length"}:
        assert own.headers[name] == other.headers[name]
    return own


@pytest.mark.parametrize(("requests", "usual"), [(USUAL, True), (UNUSUAL, False)])
async def test_answers_are_those_of_the_application(
    serving: Serving, requests: list[dict[str, Any]], usual: bool
) -> None:
    async with serving() as client:
        for request in requests:
            assert (await compare(client, request, usual)).status == 200


async def test_usual_jpegs_are_taken_where_a_thread_would_only_take_turns(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.processors.available", lambda: 1)
    photograph = encode(picture(0, (200, 200)), "JPEG")
    assert len(photograph) > 2**14
    usual: list[dict[str, Any]] = [
        {"body": photograph, "type": "image/jpeg"},
        {"body": form(photograph), "type": FORM},
        {"type": "image/png"},
    ]
    unusual: list[dict[str, Any]] = [
        {"body": form(JPEG, JPEG), "type": FORM},
        {"body": encode(picture(0), "JPEG", progressive=True), "type": "image/jpeg"},
        {"body": encode(picture(0), "BMP"), "type": "image/bmp"},
        {"body": encode(Image.new("RGB", (1100, 1100)), "JPEG"), "type": "image/jpeg"},
    ]
    broken: list[dict[str, Any]] = [
        {"body": photograph[:-999], "type": "image/jpeg"},
        {"body": form(photograph[:-999]), "type": FORM},
        {"body": photograph, "type": "image/png"},
    ]
    wrong: list[dict[str, Any]] = [
        {"body": photograph, "type": "text/plain"},
        {"body": encode(Image.new("RGB", (3000, 1000)), "JPEG"), "type": "image/jpeg"},
    ]
    async with serving(max_image_pixels=2_000_000) as client:
        for requests, taken, status in (
            (usual, True, 200),
            (unusual, False, 200),
            (broken, True, 422),  # which isn't decoded twice
        ):
            for request in requests:
                assert (await compare(client, request, taken)).status == status
        for request in wrong:
            assert (await compare(client, request, False)).status >= 400


async def test_errors_are_those_of_the_application(serving: Serving) -> None:
    async with serving(max_images=2, max_image_pixels=64, max_body_bytes=1024) as client:
        for request in WRONG:
            assert (await compare(client, request, False)).status >= 400


async def test_the_key_is_asked_for(serving: Serving) -> None:
    async with serving(api_key="secret") as client:
        for given, status in (({}, 401), ({"Authorization": "Bearer wrong"}, 401),
                              ({"Authorization": "Bearer secret"}, 200)):  # fmt: skip
            assert (await compare(client, given, status == 200)).status == status


async def test_bodies_in_pieces_and_large_ones_are_left_to_the_application(
    serving: Serving,
) -> None:
    async with serving() as client:
        whole = await client.post()
        sent = post()
        for cut in (len(sent) - 1, len(sent) - len(IMAGE), len(sent) - len(IMAGE) + 1):
            client.writer.write(sent[:cut])
            await asyncio.sleep(0.05)
            client.writer.write(sent[cut:])
            assert (await client.answer()).told == whole.told
        large = encode(picture(0, size=(100, 100)))
        assert len(large) > client.app.state.decoder.quick_bytes
        assert (await client.post(large)).status == 200
        assert client.taken == [True, False]


async def test_chunks_that_arrive_together_are_one_piece(serving: Serving) -> None:
    async with serving() as client:
        whole = await client.post()
        head = post().partition(b"Content-Length")[0] + b"Transfer-Encoding: chunked\r\n\r\n"
        halves = IMAGE[:30], IMAGE[30:]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(half), half) for half in halves)
        client.writer.write(head + chunks + b"0\r\n\r\n")
        assert (await client.answer()).told == whole.told
        assert client.taken == [True, True]


async def test_chunks_that_are_too_much_are_refused(serving: Serving) -> None:
    async with serving(max_body_bytes=1024) as client:
        head = post().partition(b"Content-Length")[0] + b"Transfer-Encoding: chunked\r\n\r\n"
        client.writer.write(head + (b"258\r\n%b\r\n" % bytes(600)) * 2 + b"0\r\n\r\n")
        answer = await client.answer()
        assert answer.status == 413
        assert "max_body_bytes" in answer.told["detail"]
        assert client.taken == [False]


async def test_who_asks_whether_to_go_on_is_told_first(serving: Serving) -> None:
    async with serving() as client:
        sent = post(Expect="100-continue")
        client.writer.write(sent[: -len(IMAGE)])
        told = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 5)
        assert told == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.writer.write(IMAGE)
        assert (await client.answer()).status == 200
        assert client.taken == []


async def test_an_upgrade_is_left_to_the_application(serving: Serving) -> None:
    """Which speaks no other protocol, and sees no body."""
    async with serving() as client:
        upgrade = {"Connection": "Upgrade", "Upgrade": "h2c"}
        assert (await compare(client, upgrade, usual=False)).status == 422
        assert client.taken == []


@pytest.mark.parametrize("url", ["http://host", "http://h:99999/x", "http://[::1/x", "/\x80"])
@pytest.mark.parametrize("pieces", [1, 2])
async def test_an_address_that_is_none_is_told(serving: Serving, url: str, pieces: int) -> None:
    async with serving() as client:
        sent = post(path=url).decode("latin-1").encode("latin-1")
        cut = len(sent) if pieces == 1 else len(sent) - 5
        client.writer.write(sent[:cut])
        await asyncio.sleep(0.05)
        client.writer.write(sent[cut:])
        assert (await client.reader.readline()).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("cut", [10_000, -5])
async def test_trailers_say_nothing(serving: Serving, cut: int) -> None:
    async with serving(api_key="secret") as client:
        head = post().partition(b"Content-Length")[0] + b"Transfer-Encoding: chunked\r\n\r\n"
        trailer = b"Authorization: Bearer secret\r\nContent-Type: text/plain\r\n\r\n"
        sent = head + b"%x\r\n%b\r\n0\r\n" % (len(IMAGE), IMAGE) + trailer
        client.writer.write(sent[:cut])
        await asyncio.sleep(0.05)
        client.writer.write(sent[cut:] if cut < 0 else b"")
        assert (await client.answer()).status == 401


async def test_a_client_that_leaves_with_requests_in_line_is_no_error(serving: Serving) -> None:
    async with serving() as client:
        free = client.hold()
        leaver = await client.another()
        with capture_logs() as lines:
            leaver.writer.write(post() * 5)
            await asyncio.sleep(0.05)
            leaver.writer.close()
            await asyncio.sleep(0.05)
            free.set()
            assert (await client.post()).status == 200
            await asyncio.sleep(0.05)
        assert {line["event"] for line in lines} == {"request"}


async def test_answers_of_a_connection_come_in_order(serving: Serving) -> None:
    async with serving() as client:
        free = client.hold()
        many = [post(path=f"{PREDICT}?top_k={k}") for k in (1, 2, 3)]
        health = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
        client.writer.write(many[0] + many[1] + health + many[2])
        await asyncio.sleep(0.1)
        free.set()
        told = [(await client.answer()).told for _ in range(4)]
        assert [len(each["predictions"][0]["top"]) for each in (*told[:2], told[3])] == [1, 2, 3]
        assert "predictions" not in told[2]
        assert client.taken == [True]
        assert (await client.post()).status == 200  # the connection goes on
        assert client.taken == [True, True]


async def test_many_connections_get_their_own_answers(serving: Serving) -> None:
    async with serving() as client:
        images = [encode(picture(seed)) for seed in range(20)]
        alone = [(await client.post(image)).told for image in images]
        others = [await client.another() for _ in images]
        together = await asyncio.gather(
            *(other.post(image) for other, image in zip(others, images, strict=True))
        )
        for one, other in zip(alone, together, strict=True):
            first, second = one["predictions"][0], other.told["predictions"][0]
            assert first["label"] == second["label"]
            assert first["score"] == pytest.approx(second["score"], abs=1e-6)
        assert int(max(each.headers["x-batch-size"] for each in together)) > 1


async def test_the_images_of_a_client_that_leaves_are_not_run(serving: Serving) -> None:
    async with serving() as client:
        free = client.hold()
        first, leaver, last = [await client.another() for _ in range(3)]
        for each in (first, leaver, last):
            each.writer.write(post())
            await asyncio.sleep(0.05)
        assert client.batcher._waiting == 2  # the first one's image is being run
        with capture_logs() as lines:
            leaver.writer.close()
            await asyncio.sleep(0.05)
        assert client.batcher._waiting == 1
        assert [line["status"] for line in lines if line["event"] == "request"] == [499]
        free.set()
        for each in (first, last):
            assert (await each.answer()).status == 200
        assert client.taken == [True] * 3


async def test_a_client_that_leaves_while_its_image_runs_harms_nobody(serving: Serving) -> None:
    async with serving() as client:
        free = client.hold()
        leaver = await client.another()
        leaver.writer.write(post() + post())
        await asyncio.sleep(0.05)
        leaver.writer.transport.abort()
        await asyncio.sleep(0.05)
        free.set()
        assert (await client.post()).status == 200
        assert client.taken == [True, True]


async def test_the_deadline_holds(serving: Serving) -> None:
    async with serving(request_timeout=0.1) as client:
        free = client.hold()
        late = await client.post()
        assert (late.status, late.told["title"]) == (504, "Deadline passed")
        assert "(setting request_timeout)" in late.told["detail"]
        free.set()
        assert (await client.post()).status == 200
        assert client.taken == [True, True]


async def test_a_full_queue_is_told(serving: Serving) -> None:
    async with serving(max_queue_size=1, max_images=1) as client:
        free = client.hold()
        others = [await client.another() for _ in range(2)]
        for other in others:
            other.writer.write(post())
            await asyncio.sleep(0.05)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(client.app.state.decoder, "at_once", lambda *_: 1 / 0)  # is not asked
            with capture_logs() as lines:
                assert (await client.post()).status == 429
            assert [line["event"] for line in lines] == ["request"]
        free.set()
        for other in others:
            assert (await other.answer()).status == 200


async def test_a_network_that_fails_is_told(serving: Serving) -> None:
    async with serving() as client:

        async def fail(_pictures: list[Pixels]) -> list[Answer]:
            raise RuntimeError("broken")

        client.batcher._run = fail
        with capture_logs() as lines:
            answer = await client.post()
        assert answer.status == 500
        assert "see the server's log" in answer.told["detail"]
        assert "broken" not in answer.body.decode()
        assert [line["event"] for line in lines] == ["batch failed", "request"]


async def test_an_unexpected_error_is_told_and_logged(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving() as client:
        monkeypatch.setattr("service.routes.predict.orjson.dumps", lambda _: 1 / 0)
        with capture_logs() as lines:
            answer = await client.post()
        assert answer.status == 500
        assert "request_id" in answer.told["detail"]
        assert [line["event"] for line in lines] == ["unexpected error", "request"]
        assert client.taken == [True]


async def test_an_unexpected_error_before_it_is_taken_is_told_by_the_application(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving() as client:
        monkeypatch.setattr("service.images.preprocessing.read_small", lambda *_, **__: 1 / 0)
        with capture_logs() as lines:
            answer = await client.post()
        assert answer.status == 500
        assert "request_id" in answer.told["detail"]
        assert [line["event"] for line in lines] == ["unexpected error", "request"]
        assert client.taken == [False]


async def test_a_version_is_let_go_of_while_its_clients_stay(
    serving: Serving, repository: Path
) -> None:
    async with serving() as client:
        known = client.app.state.repository
        assert (await client.post(path=f"{PREDICT}?version=2")).status == 200
        loaded = weakref.ref(known.ready("colors", 2))
        shutil.rmtree(repository / "colors" / "2")
        await known.update()
        gc.collect()
        assert loaded() is None
        assert client.taken == [True]
        assert (await client.post()).status == 200  # from the version that is left


async def test_requests_have_their_line_and_their_figure(serving: Serving) -> None:
    async with serving() as client:
        with capture_logs() as lines:
            answer = await client.post(X_Request_ID="mine", path=f"{PREDICT}?top_k=1")
        [line] = [line for line in lines if line["event"] == "request"]
        assert (line["method"], line["path"], line["status"]) == ("POST", PREDICT, 200)
        assert line["request_id"] == answer.headers["x-request-id"] == "mine"
        figures = client.app.state.metrics.exposition().decode()
        assert 'fanlight_request_seconds_count{operation="predict",status="200"} 1.0' in figures


async def test_a_server_that_stops_answers_first(serving: Serving) -> None:
    async with serving() as client:
        free = client.hold()
        client.writer.write(post())
        await asyncio.sleep(0.05)
        [protocol] = _protocols(client)
        protocol.shutdown()
        free.set()
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await asyncio.wait_for(client.reader.read(), 1) == b""


async def test_a_client_that_takes_no_answers_gets_no_more(serving: Serving) -> None:
    async with serving() as client:
        await client.post()
        [protocol] = _protocols(client)
        protocol.pause_writing()
        client.writer.write(post())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.read(1), 0.2)
        protocol.resume_writing()
        assert (await client.answer()).status == 200
        assert client.taken == [True]


def _protocols(client: Client) -> list[BoundedProtocol]:
    return [
        each
        for each in gc.get_objects()
        if isinstance(each, BoundedProtocol) and each.app is client.app
    ]
