"""Behind proxies that share connections, nobody gets an answer that is for another.

A body may look like a request, and an offer to upgrade may stand before it. A server that takes
the body for a request answers once too often, and the proxy gives that answer to somebody else.
"""

import asyncio
import json
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.proxies import PATIENCE, PROXIES, proxying
from tests.e2e.servers import Server, running
from tests.networks import DATA

DIGITS = sorted((DATA / "digits").glob("*.png"))  # each named after its label
BAD_CLIENTS = 3  # at once, beside one good client for each digit
LOOK = "GET /health/live HTTP/1.1"
PREDICT = "/v1/models/mnist/predict"
CLASSIFY = f"POST {PREDICT} HTTP/1.1"
OFFERS = {
    "h2c": (
        "Connection: Upgrade, HTTP2-Settings\r\n"
        "Upgrade: h2c\r\n"
        "HTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    ),
    "websocket": (
        "Connection: Upgrade\r\n"
        "Upgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    ),
    "foo/1": "Connection: Upgrade\r\nUpgrade: foo/1\r\n",
}
SIZES = (100, 1_000, 10_000, 100_000)
FORMS = ("repeated", "last", "unfinished")
SPLITS = ("whole", "behind the head", "in the body")
CODINGS = ("", "chunked")

JAVA = """
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Path;

class Ask {
    public static void main(String[] arguments) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(arguments[0]))
            .header("Content-Type", "image/png")
            .POST(BodyPublishers.ofFile(Path.of(arguments[1])))
            .build();
        var answer = HttpClient.newHttpClient().send(request, BodyHandlers.ofString());
        System.out.println(answer.body());
        System.out.print(answer.statusCode());
    }
}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("behind") / "log", "--log-format", "json") as server:
        yield server


@pytest.fixture(params=PROXIES)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    program = PROXIES[name].command[0]
    if not shutil.which(program):
        pytest.skip(f"{program} is not on PATH")
    return name


@pytest.fixture
def port(server: Server, kind: str, tmp_path: Path) -> Iterator[int]:
    """That of a proxy before our server."""
    with proxying(PROXIES[kind], tmp_path, upstream=server.port) as port:
        yield port


class Answer(NamedTuple):
    status: int  # 0 where there was none
    request_id: str = ""
    body: bytes = b""
    fault: str = ""  # why there was none, or not only one


class Client:
    """A connection that is kept as long as the other side keeps it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self, *pieces: bytes, between: Callable[[], Awaitable[object]] | None = None
    ) -> Answer:
        """Send a request, do something else between its pieces, and read one answer."""
        try:
            async with asyncio.timeout(PATIENCE):
                if self._streams is None:
                    self._streams = await asyncio.open_connection("127.0.0.1", self._port)
                reader, writer = self._streams
                for number, piece in enumerate(pieces):
                    if number and between:
                        await between()
                    writer.write(piece)
                    await writer.drain()
                return await self._read(reader)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.close()
            return Answer(0, fault="closed")
        except TimeoutError:
            self.close()
            return Answer(0, fault="too late")

    async def _read(self, reader: asyncio.StreamReader) -> Answer:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body, fault = await reader.readexactly(int(headers.get("content-length", 0))), ""
        if headers.get("connection") == "close":
            fault = "more than one" if await reader.read() else ""
            self.close()
        return Answer(int(first.split()[1]), headers.get("x-request-id", ""), body, fault)

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()
            self._streams = None


def head(line: str, request_id: str, size: int | None = None, about: str = "") -> bytes:
    """One of a request with a body of so many bytes, if any, and with these lines besides."""
    body = "" if size is None else f"Content-Type: image/png\r\nContent-Length: {size}\r\n"
    return f"{line}\r\nHost: x\r\nX-Request-ID: {request_id}\r\n{about}{body}\r\n".encode()


def smuggling(size: int, form: str, request_id: str) -> bytes:
    """A body that is no picture, but one or more requests, behind empty lines up to the size.

    What is unfinished would take the next request on its connection for a header of its own.
    """
    request = head("GET /v1/models HTTP/1.1", request_id)
    if form == "unfinished":
        request = request.removesuffix(b"\r\n") + b"X-Rest: "
    elif form == "repeated":
        request *= size // len(request)
    assert len(request) <= size
    return request.rjust(size, b"\n")


def pieces_of(head: bytes, body: bytes, split: str) -> list[bytes]:
    """Together, or with the body apart, or with the last request in it apart (else its half)."""
    if split == "whole":
        return [head + body]
    request = body.rfind(b"GET ")
    place = request if request > 0 else len(body) // 2
    if split == "behind the head":
        place = 0
    return [head + body[:place], body[place:]]


def verdict(answer: Answer, request_id: str, status: int, smuggled: str = "") -> str:
    """Whose answer it is: "own" for the right one."""
    if answer.fault:
        return answer.fault
    if answer.request_id == request_id:
        return "own" if answer.status == status else f"own, but {answer.status}"
    if not answer.request_id:
        return f"nobody's {answer.status}"
    return "the smuggled one's" if answer.request_id == smuggled else "another's"


def label(body: bytes) -> str:
    found: str = json.loads(body)["predictions"][0]["label"]
    return found


class Load:
    """Good and bad clients of one proxy, and whose answers they got."""

    def __init__(self, kind: str, port: int) -> None:
        self._kind, self._port = kind, port
        self.smuggled = f"smuggled-{kind}"
        self.answers: Counter[tuple[str, str]] = Counter()  # who asked, and whose it was
        self._left = list(product(OFFERS.values(), SIZES, FORMS, SPLITS, CODINGS))
        random.Random(0).shuffle(self._left)
        self.bad = len(self._left)
        self._bad_clients = BAD_CLIENTS  # that still ask

    async def run(self) -> None:
        async with asyncio.timeout(4 * PATIENCE), asyncio.TaskGroup() as clients:
            for file in DIGITS:
                clients.create_task(self._be_good(file.stem, file.read_bytes()))
            for _ in range(BAD_CLIENTS):
                clients.create_task(self._be_bad())

    async def _be_good(self, digit: str, image: bytes) -> None:
        """Ask what this picture is until the bad clients are through."""
        number = 0
        with closing(Client(self._port)) as client:
            while self._bad_clients:
                number += 1
                request_id = f"{self._kind}-{digit}-{number}"
                answer = await client.ask(head(CLASSIFY, request_id, len(image)) + image)
                whose = verdict(answer, request_id, 200, self.smuggled)
                if whose == "own" and label(answer.body) != digit:
                    whose = "own, but another's label"
                self.answers["good", whose] += 1

    async def _be_bad(self) -> None:
        """Ask one after the other; what each left behind would answer the look after it."""
        with closing(Client(self._port)) as client, closing(Client(self._port)) as other:
            while self._left:
                number, (offer, size, form, split, coding) = len(self._left), self._left.pop()
                request_id = f"{self._kind}-bad-{number}"
                body = smuggling(size, form, self.smuggled)
                if coding:
                    body = b"%x\r\n%b\r\n0\r\n\r\n" % (size, body)
                    about = f"{offer}Content-Type: image/png\r\nTransfer-Encoding: {coding}\r\n"
                    start = head(CLASSIFY, request_id, about=about)
                else:
                    start = head(CLASSIFY, request_id, size, offer)
                pieces = pieces_of(start, body, split)
                between = partial(self._look, other, f"{request_id}-between")
                answer = await client.ask(*pieces, between=between)
                self.answers["bad", verdict(answer, request_id, 422, self.smuggled)] += 1
                await self._look(client, f"{request_id}-after")
        self._bad_clients -= 1

    async def _look(self, client: Client, request_id: str) -> None:
        answer = await client.ask(head(LOOK, request_id))
        self.answers["look", verdict(answer, request_id, 200, self.smuggled)] += 1


@pytest.mark.anyio
async def test_the_proxies_share_connections_and_pass_offers_on(kind: str, tmp_path: Path) -> None:
    """Otherwise the next test would show nothing.

    haproxy takes the offer away from a request that has a body. Caddy may give a connection free
    only after the next request has come, so this asks until what is looked for was seen.
    """
    connections: list[list[str]] = []  # what the requests on each offered
    wanted = {""} if kind == "haproxy" else {"", *OFFERS}
    image = DIGITS[0].read_bytes()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        offered: list[str] = []
        connections.append(offered)
        with closing(writer), suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
                offers = [line.partition(": ")[2] for line in lines if line.startswith("upgrade:")]
                offered.append(",".join(offers))
                await reader.readexactly(len(image))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def followed() -> set[str]:
        """What was offered by requests behind which others came on the same connection."""
        return {offer for offered in connections for offer in offered[:-1]}

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as upstream:
        upstream_port = upstream.sockets[0].getsockname()[1]
        with proxying(PROXIES[kind], tmp_path, upstream=upstream_port) as port:
            for offer in 50 * ["", *OFFERS.values()]:
                with closing(Client(port)) as client:
                    answer = await client.ask(head(CLASSIFY, "x", len(image), offer) + image)
                assert (answer.status, answer.fault) == (200, "")
                if wanted <= followed():
                    break
    assert wanted <= followed(), connections


@pytest.mark.anyio
async def test_everybody_gets_the_answer_to_their_own_request(
    server: Server, kind: str, port: int
) -> None:
    load = Load(kind, port)
    await load.run()
    assert {whose for _, whose in load.answers} == {"own"}, str(load.answers)
    assert load.answers["bad", "own"] == load.bad
    assert load.answers["good", "own"] >= len(DIGITS)
    assert f'"{load.smuggled}"' not in server.log.read_text()


@pytest.mark.anyio
@pytest.mark.parametrize("offered", OFFERS)
async def test_a_picture_behind_an_offer_is_classified(kind: str, port: int, offered: str) -> None:
    with closing(Client(port)) as client, closing(Client(port)) as other:
        for split, file in product(SPLITS, DIGITS):
            image, request_id = file.read_bytes(), f"{split.replace(' ', '-')}-{file.stem}"
            pieces = pieces_of(
                head(CLASSIFY, request_id, len(image), OFFERS[offered]), image, split
            )
            look = partial(other.ask, head(LOOK, "look"))
            answer = await client.ask(*pieces, between=look)
            assert verdict(answer, request_id, 200) == "own", answer
            assert label(answer.body) == file.stem


def asked_by(*command: str) -> str:
    """The label in the answer that a program prints, with its status as the last line."""
    result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert result.returncode == 0, result.stdout + result.stderr
    body, _, status = result.stdout.rpartition("\n")
    assert status == "200", body
    return label(body.encode())


@pytest.mark.parametrize("file", DIGITS, ids=lambda file: file.stem)
def test_curl_that_offers_http2(server: Server, file: Path) -> None:
    if not shutil.which("curl"):
        pytest.skip("curl is not on PATH")
    if " HTTP2 " not in subprocess.run(["curl", "-V"], capture_output=True, text=True).stdout:
        pytest.skip("this curl has no HTTP/2")
    command = ("curl", "--http2", "--noproxy", "*", "--silent", "--write-out", "\n%{http_code}")
    body = ("--header", "Content-Type: image/png", "--data-binary", f"@{file}")
    assert asked_by(*command, *body, f"{server.url}{PREDICT}") == file.stem


def test_the_client_of_java(server: Server, tmp_path: Path) -> None:
    if not shutil.which("java"):
        pytest.skip("java is not on PATH")
    listed = subprocess.run(["java", "--list-modules"], capture_output=True, text=True).stdout
    if not all(f"{module}@" in listed for module in ("java.net.http", "jdk.compiler")):
        pytest.skip("this java has no HTTP client, or no compiler")
    (tmp_path / "Ask.java").write_text(JAVA)
    command = ("java", "-XX:TieredStopAtLevel=1", str(tmp_path / "Ask.java"))
    assert asked_by(*command, f"{server.url}{PREDICT}", str(DIGITS[-1])) == DIGITS[-1].stem
