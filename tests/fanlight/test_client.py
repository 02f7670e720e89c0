"""`Client` and `AsyncClient` against a running service, and against answers that are made up."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from fanlight import AsyncClient, Client, ClientError
from fanlight.client import LabelScore
from fanlight.client import clients as module
from service.app import create_app
from service.settings import Settings
from tests.e2e.servers import in_thread
from tests.networks import LABELS, encode, picture

MODEL = "colors"
KEY = "a-key-that-is-long-enough"
IMAGES = [picture(seed) for seed in range(3)]
Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(scope="module")
def url(shared_repository: Path) -> Iterator[str]:
    """A service on a loopback port, in a thread of this process."""
    app = create_app(Settings(repository=shared_repository, device="cpu", api_key=KEY))
    with in_thread(app) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url, api_key=KEY) as client:
        yield client


class TestImages:
    def test_whatever_it_is_given_as(self, client: Client, tmp_path: Path) -> None:
        file = tmp_path / "noise.png"
        IMAGES[0].save(file)
        kinds: list[Any] = [
            *(file, str(file), file.read_bytes(), bytearray(file.read_bytes())),
            *(IMAGES[0], np.asarray(IMAGES[0])),
        ]
        found = [client.predict(MODEL, kind) for kind in kinds]
        assert all(each == found[0] for each in found)
        assert client.predict(MODEL, kinds) == found
        assert client.predict(MODEL, tuple(kinds)) == found

    def test_grey_arrays(self, client: Client) -> None:
        levels = np.arange(64, dtype=np.uint8).reshape(8, 8)
        assert client.predict(MODEL, levels) == client.predict(MODEL, levels[:, :, None])

    @pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "YCbCr", "HSV", "RGBX", "1"])
    def test_modes_of_pillow(self, client: Client, mode: str) -> None:
        sent = IMAGES[0].convert(mode)
        found = client.predict(MODEL, sent)
        if mode in ("CMYK", "YCbCr", "HSV", "RGBX"):
            assert found == client.predict(MODEL, sent.convert("RGB"))

    def test_one_that_can_not_be_sent(self, client: Client) -> None:
        with pytest.raises(TypeError, match="of the mode F can't be sent"):
            client.predict(MODEL, IMAGES[0].convert("F"))

    def test_an_opened_file_is_seen_as_the_file(self, client: Client, tmp_path: Path) -> None:
        """It may be turned by EXIF."""
        exif = Image.Exif()
        exif[0x0112] = 6
        file = tmp_path / "turned.png"
        picture(0, (8, 16)).save(file, exif=exif)
        with Image.open(file) as opened:
            assert client.predict(MODEL, opened) == client.predict(MODEL, file)

    def test_what_is_none(self, client: Client, tmp_path: Path) -> None:
        wrong: Any
        for wrong in (
            *(3, None, np.zeros((8, 8)), np.zeros(8, np.uint8), np.zeros((0, 9), np.uint8)),
            *(np.zeros((8, 8, 5), np.uint8), np.zeros((3, 40, 40), np.uint8)),
        ):
            with pytest.raises(TypeError, match="is no image"):
                client.predict(MODEL, wrong)
        with pytest.raises(FileNotFoundError, match=r"missing\.png"):
            client.predict(MODEL, tmp_path / "missing.png")


class TestAnswers:
    def test_predictions(self, client: Client) -> None:
        found = client.predict(MODEL, IMAGES, top_k=2, logits=True, version=1)
        assert len(found) == 3
        for each in found:
            assert each.top[0] == LabelScore(each.label, each.score)
            assert len(each.top) == 2
            assert each.logits is not None
            assert LABELS[int(np.argmax(each.logits))] == each.label
            assert (each.familiarity, each.unsure, each.why, each.set) == (None, None, None, None)
        assert client.predict(MODEL, IMAGES[0]).logits is None

    def test_features(self, client: Client) -> None:
        found = client.features(MODEL, IMAGES, ["conv", "penultimate"])
        assert found["conv"].shape == (3, 4, 8, 8)
        assert found["penultimate"].shape == (3, 4)
        assert found.labels == LABELS
        best = [LABELS[index] for index in found.probabilities.argmax(1)]
        assert best == [each.label for each in client.predict(MODEL, IMAGES)]
        assert list(found) == list(found.layers) == ["conv", "penultimate"]
        shapes = {name: values.shape for name, values in found.items()}
        assert shapes == {"conv": (3, 4, 8, 8), "penultimate": (3, 4)}
        assert "fc" not in found
        assert list(client.features(MODEL, IMAGES[0], "conv").layers) == ["conv"]

    def test_explanations(self, client: Client) -> None:
        drawn = client.explain(MODEL, IMAGES[0], method="saliency", target="red")
        assert isinstance(drawn, Image.Image)
        maps = client.heat_maps(MODEL, IMAGES, method="occlusion")
        assert [each.shape for each in maps] == [(8, 8)] * 3
        assert client.heat_maps(MODEL, IMAGES[0])[0].min() >= 0

    def test_class_maps_are_of_the_images_sizes(self, client: Client) -> None:
        images = [picture(0, (16, 8)), picture(1, (8, 24))]
        maps = client.heat_maps(MODEL, images, method="class-map")
        assert [each.shape for each in maps] == [(8, 16), (24, 8)]

    def test_models(self, client: Client) -> None:
        assert [each["name"] for each in client.models()] == [MODEL]
        assert client.model(MODEL)["version"] == 2
        assert client.model(MODEL, version=1)["version"] == 1

    def test_errors(self, client: Client, url: str) -> None:
        with pytest.raises(ClientError, match="did you mean 'conv'") as caught:
            client.features(MODEL, IMAGES[0], "cnv")
        assert caught.value.status == 404
        with pytest.raises(ClientError, match="image 1: ") as caught:
            client.predict(MODEL, [encode(IMAGES[0]), b"none"])
        assert caught.value.problem["errors"][0]["index"] == 1
        with pytest.raises(ClientError, match="there is nothing at"):
            client.predict("a/b", IMAGES[0])
        with (
            Client(url, api_key="wrong") as other,
            pytest.raises(ClientError, match="Authorization"),
        ):
            other.models()


def test_asyncio_answers_the_same(url: str, client: Client) -> None:
    async def ask() -> None:
        async with AsyncClient(url, api_key=KEY) as other:
            many = await asyncio.gather(*(other.predict(MODEL, each) for each in IMAGES))
            assert many == client.predict(MODEL, IMAGES)
            assert await other.predict(MODEL, IMAGES) == many
            features = await other.features(MODEL, IMAGES, "conv")
            wanted = client.features(MODEL, IMAGES, "conv")
            np.testing.assert_array_equal(features["conv"], wanted["conv"])
            assert isinstance(await other.explain(MODEL, IMAGES[0]), Image.Image)
            maps = await other.heat_maps(MODEL, IMAGES)
            np.testing.assert_array_equal(maps, client.heat_maps(MODEL, IMAGES))
            assert await other.models() == client.models()
            assert await other.model(MODEL) == client.model(MODEL)
            with pytest.raises(ClientError, match="no model 'nope'"):
                await other.predict("nope", IMAGES[0])

    asyncio.run(ask())


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited between tries, without waiting."""
    told: list[float] = []

    async def asyncio_sleep(seconds: float) -> None:
        told.append(seconds)

    monkeypatch.setattr("fanlight.client.clients.sleep", told.append)
    monkeypatch.setattr("fanlight.client.clients.asyncio_sleep", asyncio_sleep)
    return told


def models(answer: Handler, kind: str, retries: int = 3) -> list[dict[str, Any]]:
    """What a client of either kind finds where each request is answered so."""
    transport = httpx.MockTransport(answer)
    if kind == "blocking":
        with Client("http://s", retries=retries, http=httpx.Client(transport=transport)) as client:
            return client.models()

    async def ask() -> list[dict[str, Any]]:
        http = httpx.AsyncClient(transport=transport)
        async with AsyncClient("http://s", retries=retries, http=http) as client:
            return await client.models()

    return asyncio.run(ask())


BOTH = pytest.mark.parametrize("kind", ["blocking", "asyncio"])


def found() -> httpx.Response:
    return httpx.Response(200, json={"models": [{"name": "x"}]})


class TestTriesAgain:
    @BOTH
    @pytest.mark.parametrize("status", [429, 503])
    def test_after_the_time_that_is_told(self, kind: str, status: int, waits: list[float]) -> None:
        left = [
            httpx.Response(status, headers={"Retry-After": "2"}),
            httpx.Response(status, headers={"Retry-After": "9999"}),
            httpx.Response(status),
            found(),
        ]
        assert models(lambda _: left.pop(0), kind) == [{"name": "x"}]
        assert waits[:2] == [2, module.LONGEST_WAIT]
        assert 0 < waits[2] < 5

    @BOTH
    def test_but_not_for_ever(self, kind: str, waits: list[float]) -> None:
        busy = {"detail": "the queue is full"}
        with pytest.raises(ClientError, match="the queue is full") as caught:
            models(lambda _: httpx.Response(429, json=busy), kind)
        assert caught.value.status == 429
        assert len(waits) == 3
        with pytest.raises(ClientError, match="503 Service Unavailable"):
            models(lambda _: httpx.Response(503, content=b"[]"), kind, retries=0)
        assert len(waits) == 3

    @BOTH
    def test_where_the_connection_breaks(self, kind: str, waits: list[float]) -> None:
        left: list[type[httpx.TransportError] | None] = [
            httpx.ConnectError,
            httpx.RemoteProtocolError,
            None,
        ]

        def answer(_: httpx.Request) -> httpx.Response:
            if error := left.pop(0):
                raise error("broken")
            return found()

        assert models(answer, kind) == [{"name": "x"}]
        assert waits == sorted(waits)

    @BOTH
    def test_not_what_was_too_slow_or_is_wrong(self, kind: str, waits: list[float]) -> None:
        def slow(_: httpx.Request) -> httpx.Response:
            raise httpx.ReadTimeout("slow")

        with pytest.raises(ClientError, match="no answer from http://s: ReadTimeout") as caught:
            models(slow, kind)
        assert caught.value.status is None
        with pytest.raises(ClientError, match="404 Not Found"):
            models(lambda _: httpx.Response(404, text="<html>"), kind)
        assert not waits

    def test_nobody_there(self, waits: list[float]) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        with (
            Client(f"http://127.0.0.1:{port}") as client,
            pytest.raises(ClientError, match=f"no answer from http://127.0.0.1:{port}: "),
        ):
            client.models()
        assert len(waits) == 3


class TestOtherAnswers:
    """What comes from another server is a `ClientError` too."""

    @BOTH
    @pytest.mark.parametrize(
        "answer",
        [
            {"html": "<html>log in</html>"},
            {"json": {}},
            {"json": []},
            {"content": b""},
            {"content": b"no gzip", "headers": {"Content-Encoding": "gzip"}},
            {"content": b"[" * 100_000},
            {"content": b"\xff\xfe"},
            {"json": {"models": 3}},
        ],
    )
    def test_of_success(self, kind: str, answer: dict[str, Any], waits: list[float]) -> None:
        with pytest.raises(ClientError, match=r"no answer|is no answer of this service"):
            models(lambda _: httpx.Response(200, **answer), kind)
        assert not waits

    @BOTH
    @pytest.mark.parametrize(
        "told",
        [{"detail": [1]}, {"errors": ["a"]}, {"errors": {"a": "b"}}, {"errors": 5}, [], 3, None],
    )
    def test_of_failure(self, kind: str, told: Any) -> None:
        with pytest.raises(ClientError, match="422 Unprocessable"):
            models(lambda _: httpx.Response(422, json=told), kind)

    def test_of_arrays_and_pictures(self) -> None:
        page = httpx.MockTransport(lambda _: httpx.Response(200, html="<html>"))
        with Client("http://s", http=httpx.Client(transport=page)) as client:
            for ask in (client.explain, client.heat_maps, client.predict):
                with pytest.raises(ClientError, match="text/html"):
                    ask(MODEL, IMAGES[0])
            with pytest.raises(ClientError, match="text/html"):
                client.features(MODEL, IMAGES[0], "conv")

    @pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n" + b"\0" * 20, b"PK\3\4" + b"\0" * 30])
    def test_of_broken_files(self, content: bytes) -> None:
        broken = httpx.MockTransport(lambda _: httpx.Response(200, content=content))
        with Client("http://s", http=httpx.Client(transport=broken)) as client:
            for ask in (client.explain, client.heat_maps):
                with pytest.raises(ClientError, match="no answer of this service"):
                    ask(MODEL, IMAGES[0])


@pytest.mark.parametrize(
    ("url", "key"), [("127.0.0.1:8000", None), ("http://[::1", None), ("", None), ("http://s", "ü")]
)
def test_what_can_not_be_asked(url: str, key: str | None) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(ClientError, match=r"is no address|other characters"):
            kind(url, api_key=key)


def test_a_client_of_one_s_own_stays_open() -> None:
    http = httpx.Client(transport=httpx.MockTransport(lambda _: found()))
    with Client("http://s", http=http) as client:
        client.models()
    assert not http.is_closed
    http.close()


def test_the_format_is_its_own(client: Client) -> None:
    assert client.features(MODEL, IMAGES[0], "conv", format="json")["conv"].size


def test_connections_are_kept(client: Client, url: str) -> None:
    """Whoever answers sees one connection, however many requests there are."""
    seen = set()
    with httpx.Client() as http, Client(url, api_key=KEY, http=http) as kept:
        for _ in range(3):
            answer = http.get(f"{url}/health/live")
            seen.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
            kept.models()
    assert len(seen) == 1


@pytest.mark.slow
def test_neither_the_service_nor_torch_is_imported() -> None:
    program = (
        "import sys, fanlight; fanlight.Client; "
        "sys.exit(bool({'torch', 'service', 'training'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
