"""HTTP/1 as our protocol class understands it, beside h11: the same requests, or a refusal.

Thousands of generated and mutated byte streams go to both, whole and in pieces. What our server
takes for a request has to be what h11 takes for it: a body that is read as a request would be
answered to somebody else, behind a proxy that shares connections.
"""

import asyncio
import random
from typing import Any, NamedTuple

import h11
import httptools
import pytest
import uvicorn
from uvicorn.server import ServerState

from service.server.protocol import LimitedHttpProtocol
from tests.cases import one_in

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

OFFERS = ("h2c", "websocket", "TLS/1.0", "h2c, websocket", "", "foo/1", "HTTP/2.0")
BODIES = (
    b"",
    b"x",
    b"GET /inner HTTP/1.1\r\nHost: y\r\n\r\n",
    b"POST /inner HTTP/1.1\r\nHost: y\r\nContent-Length: 3\r\n\r\nabc",
    b"\r\n\r\n",
    bytes(range(256)),
)
INSERTED = (
    *(b"\r\n", b" ", b"\n", b":", b"0", b"\0", b","),
    *(b"Upgrade: h2c\r\n", b"Connection: upgrade\r\n"),
    *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"),
)
CONNECTIONS = (
    *("Upgrade", "upgrade", "keep-alive, Upgrade", "Upgrade, HTTP2-Settings"),
    *("close, upgrade", "close", ""),
)
PREDICT = b"/v1/models/m/predict"
Understood = tuple[str, bytes, tuple[tuple[bytes, bytes], ...], bytes]


class Outcome(NamedTuple):
    """The requests that were understood, and why nothing more was, where something was wrong."""

    requests: list[Understood]
    refused: str = ""


class Echo:
    """An application that notes each whole request, with a fast path that takes none."""

    class Declining:
        @staticmethod
        def is_on(_address: object) -> bool:
            return True

        @staticmethod
        def take(*_: object) -> None:
            return None

    def __init__(self) -> None:
        self.fast_path = self.Declining()
        self.requests: list[Understood] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        target = scope["raw_path"] + (
            b"?" + scope["query_string"] if scope["query_string"] else b""
        )
        headers = tuple((name, value.strip()) for name, value in scope["headers"])
        self.requests.append((scope["method"], target, headers, body))
        await send(
            {"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]}
        )
        await send({"type": "http.response.body", "body": b""})


class Wire(asyncio.Transport):
    """A transport in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = False

    def write(self, data: Any) -> None:
        assert not self.closed
        self.sent += data

    def close(self) -> None:
        self.closed = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def ours(pieces: list[bytes]) -> Outcome:
    app, wire = Echo(), Wire()
    config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none", interface="asgi3")
    config.loaded, config.loaded_app, config.ws_protocol_class = True, app, None
    protocol = LimitedHttpProtocol(config, ServerState(), {})
    protocol.connection_made(wire)
    for piece in pieces:
        if not wire.closed:
            protocol.data_received(piece)
        await settle()
    refused = wire.sent.rpartition(b"\r\n\r\n")[2].decode() if b" 400 " in wire.sent else ""
    if wire.closed and not refused:
        refused = "closed"
    # an answer for each request that was understood, and none besides
    assert wire.sent.count(b"HTTP/1.1 404 ") == len(app.requests)
    protocol.connection_lost(None)
    await settle()
    return Outcome(app.requests, refused)


async def settle() -> None:
    """Let every task go as far as it can: none of them waits for anything but us."""
    for _ in range(8):
        await asyncio.sleep(0)


def reference(data: bytes) -> Outcome:
    """What a server on h11 understands that switches to no other protocol.

    RFC 9112 lets a server skip empty lines before a request (2.2) and several spaces in its first
    line (3), and both sides here do so, or refuse.
    """
    requests: list[Understood] = []
    while data := data.lstrip(b"\r\n"):
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=2**16)
        connection.receive_data(data)
        try:
            event = connection.next_event()
            if not isinstance(event, h11.Request):
                break
            request, body = event, b""
            while not isinstance(event := connection.next_event(), h11.EndOfMessage):
                if not isinstance(event, h11.Data):
                    return Outcome(requests)
                body += event.data
            url = httptools.parse_url(request.target)
        except h11.RemoteProtocolError as error:
            return Outcome(requests, str(error))
        except httptools.HttpParserInvalidURLError:
            return Outcome(requests, "address")
        target = (url.path or b"") + (b"?" + url.query if url.query else b"")
        headers = tuple((bytes(name), bytes(value).strip()) for name, value in request.headers)
        requests.append((request.method.decode(), target, headers, body))
        connection.send(h11.Response(status_code=404, headers=[("content-length", "0")]))
        connection.send(h11.EndOfMessage())
        if connection.our_state is h11.MUST_CLOSE:
            return Outcome(requests, "closed")
        data = connection.trailing_data[0]
    return Outcome(requests)


def generated(source: random.Random) -> bytes:
    """One to three requests in a row."""
    return b"".join(one(source) for _ in range(source.choice((1, 1, 2, 3))))


def one(source: random.Random) -> bytes:
    method = source.choice(("GET", "POST", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "CONNECT"))
    target = source.choice((b"/", PREDICT, PREDICT, b"/a?b=c&d", b"/%41", b"http://h/p?q", b"*"))
    version = source.choice(("1.1", "1.1", "1.1", "1.0"))
    body = source.choice(BODIES)
    headers = [b"Host: x"]
    if source.random() < 0.6:
        headers.append(b"Upgrade: " + source.choice(OFFERS).encode())
        connection = source.choice(CONNECTIONS)
        headers.append(b"Connection: " + connection.encode())
        if source.random() < 0.3:
            headers += [b"HTTP2-Settings: AAMAAABkAAQAAP__", b"Sec-WebSocket-Key: aaaa"]
    if source.random() < 0.2:
        headers.append(b"Expect: 100-continue")
    framing = source.choice(("length", "length", "chunked", "none"))
    if framing == "length":
        headers.append(b"Content-Length: %d" % len(body))
    elif framing == "chunked":
        headers.append(b"Transfer-Encoding: chunked")
        body = chunked(body, source)
    else:
        body = b""
    source.shuffle(headers)
    head = method.encode() + b" " + target + b" HTTP/" + version.encode()
    return b"\r\n".join([head, *headers, b"", b""]) + body


def chunked(body: bytes, source: random.Random) -> bytes:
    parts = []
    while body:
        size = source.randint(1, len(body))
        extension = b";a=b" if source.random() < 0.2 else b""
        parts.append(b"%x%b\r\n%b\r\n" % (size, extension, body[:size]))
        body = body[size:]
    trailer = b"X-Trailer: a\r\nUpgrade: h2c\r\n" if source.random() < 0.3 else b""
    return b"".join(parts) + b"0\r\n" + trailer + b"\r\n"


def mutated(data: bytes, source: random.Random) -> bytes:
    for _ in range(source.randint(1, 3)):
        at = source.randrange(len(data) + 1)
        kind = source.randrange(4)
        if kind == 0:
            data = data[:at] + data[at + source.randint(1, 4) :]
        elif kind == 1:
            data = data[:at] + bytes([source.randrange(256)]) + data[at + 1 :]
        elif kind == 2:
            piece = source.choice(INSERTED)
            data = data[:at] + piece + data[at:]
        else:
            data = data[:at] + data[max(0, at - source.randint(1, 40)) :]
    return data


def each_byte(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


def pieces(data: bytes, source: random.Random) -> list[bytes]:
    cuts = sorted(source.randrange(len(data) + 1) for _ in range(source.randint(1, 6)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def fault(data: bytes, got: Outcome, expected: Outcome) -> str | None:
    """Where our server went wrong: it may refuse what h11 takes, and nothing else."""
    common = min(len(got.requests), len(expected.requests))
    agree = got.requests[:common] == expected.requests[:common]
    more = len(got.requests) > common and "  " not in expected.refused
    silent = len(expected.requests) > common and not got.refused
    return f"{data!r}\n  ours {got}\n  h11 {expected}" if not agree or more or silent else None


async def compare(data: bytes, *sendings: list[bytes]) -> None:
    expected = reference(data)
    for sending in sendings:
        assert not fault(data, await ours(sending), expected)


@pytest.mark.slow
@pytest.mark.parametrize("mutate", [False, True], ids=["generated", "mutated"])
@pytest.mark.parametrize("seed", one_in(3, range(5)))
async def test_requests_are_those_that_h11_understands(seed: int, mutate: bool) -> None:
    source = random.Random(seed)
    for _ in range(100):
        data = generated(source)
        if mutate:
            data = mutated(data, source)
        await compare(data, [data], each_byte(data), pieces(data, source))


@pytest.mark.slow
@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("chunks", [False, True], ids=["length", "chunked"])
async def test_an_offer_to_upgrade_is_ignored_however_it_arrives(offer: str, chunks: bool) -> None:
    """Cut in two at every byte: the body is no request, and the request behind it is."""
    body = BODIES[2]
    framing = b"Transfer-Encoding: chunked" if chunks else b"Content-Length: %d" % len(body)
    head = [b"POST " + PREDICT + b" HTTP/1.1", b"Host: x", b"Connection: keep-alive, Upgrade"]
    head += [b"Upgrade: " + offer.encode(), framing, b"", b""]
    sent = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunks else body
    data = b"\r\n".join(head) + sent + b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"
    expected = reference(data)
    assert [(target, body) for _, target, _, body in expected.requests] == [
        (PREDICT, body),
        (b"/next", b""),
    ]
    for cut in range(len(data)):
        assert await ours([data[:cut], data[cut:]]) == expected


@pytest.mark.parametrize(
    "head",
    [
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\nContent-Length: 38\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"GET /\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nHost: y\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\n" + b"Transfer-Encoding: chunked\r\n" * 2,
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n",
    ],
)
@pytest.mark.parametrize("offer", [b"", b"Connection: Upgrade\r\nUpgrade: h2c\r\n"])
async def test_what_others_may_read_otherwise_is_refused(head: bytes, offer: bytes) -> None:
    data = head + offer + b"\r\n" + BODIES[2]
    for sending in ([data], each_byte(data)):
        outcome = await ours(sending)
        assert not outcome.requests
        assert outcome.refused


@pytest.mark.parametrize("fault", [b"nonsense\r\n\r\n", b"\0", b"POST / HTTP/1.1\r\n: x\r\n\r\n"])
@pytest.mark.parametrize("before", [1, 2, 5])
async def test_what_is_wrong_behind_a_request_does_not_take_its_answer(
    fault: bytes, before: int
) -> None:
    whole = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nb"
    outcome = await ours([whole * before + fault])
    assert len(outcome.requests) == before
    assert outcome.refused.startswith("Invalid")


async def test_a_body_that_breaks_off_in_the_middle_is_refused_behind_the_answers() -> None:
    whole = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
    broken = b"POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdeX"
    for before in (0, 1, 3):
        outcome = await ours([whole * before + broken])
        assert [target for _, target, _, _ in outcome.requests] == [b"/a"] * before
        assert outcome.refused.startswith("Invalid")


async def test_a_trailer_is_no_header() -> None:
    head = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
    data = head + b"0\r\nAuthorization: Bearer secret\r\n\r\n"
    for cut in (0, len(head), len(data) - 4):
        [(_, _, headers, body)] = (await ours([data[:cut], data[cut:]])).requests
        assert dict(headers).keys() == {b"host", b"transfer-encoding"}
        assert body == b"a"


@pytest.mark.parametrize(
    ("trailer", "told"),
    [
        ("Connection: close", "Connection can't be a trailer."),
        ("proxy-connection: Close", "Connection can't be a trailer."),
        ("Content-Length: 5", "Invalid"),
        ("transfer-encoding: x", "Invalid"),
    ],
)
async def test_a_trailer_that_the_parser_would_obey_is_refused(trailer: str, told: str) -> None:
    whole = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
    head = b"POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
    outcome = await ours([whole + head + b"0\r\n" + trailer.encode() + b"\r\n\r\n" + whole])
    assert [target for _, target, _, _ in outcome.requests] == [b"/a"]
    assert outcome.refused.startswith(told)
