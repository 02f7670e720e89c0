"""ETags, so that an answer is not sent twice, and compression of large texts.

GET, the same body as before → ETag, If-None-Match → 304 (RFC 9110, 13.1.2)
Accept-Encoding: gzip, a large text → Content-Encoding: gzip (RFC 9110, 12.5.3)
"""

import asyncio
import gzip
import hashlib
from collections.abc import Callable, Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Header = tuple[bytes, bytes]
MIN_COMPRESSED_BYTES = 2**15  # bytes from which a text is compressed
_LEVEL = 1  # of 9: a fifth of the time of the usual level
_ON_LOOP = 2**16  # bytes that are compressed or hashed on the event loop, in half a millisecond
_TEXTS = (b"application/json", b"application/problem+json", b"text/", b"application/javascript")
_TAGGED = ("/v1/", "/openapi")  # what of the service's own answers can stay the same


class Caching:
    """ASGI middleware around the routes. A body that is sent in several messages is unchanged."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        tagged = scope["method"] == "GET" and scope["path"].startswith(_TAGGED)
        zipped = _takes_gzip(_asked(scope, b"accept-encoding"))
        start: Message | None = None

        async def answer(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message  # until its body tells what becomes of it
                return
            if start is None:
                await send(message)
                return
            begun, start = start, None
            body = message.get("body", b"")
            if not message.get("more_body"):
                names = {name for name, _ in begun["headers"]}
                large = len(body) >= MIN_COMPRESSED_BYTES and _is_text(begun["headers"])
                plain = begun["status"] != 206 and b"content-encoding" not in names
                if large and plain:
                    begun["headers"] += [(b"vary", b"Accept-Encoding")]
                if tagged and begun["status"] == 200 and b"etag" not in names:
                    tag = await _here_or_aside(_tag, body)
                    begun["headers"] += [(b"etag", tag), (b"cache-control", b"no-cache")]
                    if _matches(_asked(scope, b"if-none-match"), tag):
                        begun["status"], body = 304, b""
                        begun["headers"] = _without(
                            begun["headers"], b"content-length", b"content-type"
                        )
                if body and large and plain and zipped:
                    body = await _here_or_aside(_packed, body)
                    begun["headers"] = [
                        *_weak(_without(begun["headers"], b"content-length")),
                        (b"content-encoding", b"gzip"),
                        (b"content-length", b"%d" % len(body)),
                    ]
            await send(begun)
            await send({**message, "body": body})

        await self._app(scope, receive, answer)


async def _here_or_aside(work: Callable[[bytes], bytes], body: bytes) -> bytes:
    """Run `work` on the body, in a thread if that would block the event loop for long."""
    return work(body) if len(body) <= _ON_LOOP else await asyncio.to_thread(work, body)


def _tag(body: bytes) -> bytes:
    return b'W/"%s"' % hashlib.sha256(body).hexdigest()[:24].encode()


def _packed(body: bytes) -> bytes:
    return gzip.compress(body, _LEVEL, mtime=0)


def _asked(scope: Scope, header: bytes) -> bytes:
    """The values of a header, which may come several times."""
    return b", ".join(value for name, value in scope["headers"] if name == header)


def _without(headers: Iterable[Header], *names: bytes) -> list[Header]:
    return [each for each in headers if each[0] not in names]


def _weak(headers: Iterable[Header]) -> list[Header]:
    """Return the headers with their ETag made weak: it holds for any encoding (RFC 9110, 8.8.3)."""
    return [
        (name, b"W/" + value) if name == b"etag" and not value.startswith(b"W/") else (name, value)
        for name, value in headers
    ]


def _is_text(headers: Iterable[Header]) -> bool:
    kind = next((value for name, value in headers if name == b"content-type"), b"")
    return kind.startswith(_TEXTS)


def _takes_gzip(accepted: bytes) -> bool:
    """Return True if Accept-Encoding allows gzip; `gzip` outranks `*` (RFC 9110, 12.5.3)."""
    told: dict[bytes, bool] = {}
    for each in accepted.lower().split(b","):
        name, *parameters = (part.strip() for part in each.split(b";"))
        told[name] = not any(
            part.startswith(b"q=") and not part[2:].strip(b"0.") for part in parameters
        )
    return told.get(b"gzip", told.get(b"*", False))


def _matches(asked: bytes, tag: bytes) -> bool:
    """Return True if If-None-Match names the ETag, by weak comparison as RFC 9110 asks for GET."""
    given = {each.strip().removeprefix(b"W/") for each in asked.split(b",")}
    return b"*" in given or tag.removeprefix(b"W/") in given
