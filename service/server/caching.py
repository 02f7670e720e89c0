"""Answers that clients have already, and large ones that they take compressed.

GET, the same body as before → ETag, If-None-Match → 304 (RFC 9110, 13.1.2)
Accept-Encoding: gzip, a large text → Content-Encoding: gzip (RFC 9110, 12.5.3)
"""

import asyncio
import gzip
import hashlib
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGE = 2**15  # bytes from which a text is compressed
_LEVEL = 1  # of 9: a fifth of the time of the usual level
_ON_LOOP = 2**16  # bytes that are compressed on the event loop, in half a millisecond
_TEXTS = (b"application/json", b"application/problem+json", b"text/", b"application/javascript")
_TAGGED = ("/v1/", "/openapi")  # what of the service's own answers can stay the same


class Caching:
    """ASGI middleware around the routes; streams pass as they are."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        tagged = scope["method"] == "GET" and scope["path"].startswith(_TAGGED)
        zipped = _takes_gzip(headers.get(b"accept-encoding", b""))
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
                if tagged and begun["status"] == 200 and b"etag" not in names:
                    tag = b'W/"%s"' % hashlib.sha256(body).hexdigest()[:24].encode()
                    begun["headers"] += [(b"etag", tag), (b"cache-control", b"no-cache")]
                    if _matches(headers.get(b"if-none-match", b""), tag):
                        begun["status"], body = 304, b""
                        begun["headers"] = _without_length(begun["headers"])
                if body and b"content-encoding" not in names and _is_text(begun["headers"]):
                    body = await _compressed(begun, body, zipped)
            await send(begun)
            await send({**message, "body": body})

        await self._app(scope, receive, answer)


async def _compressed(begun: Message, body: bytes, zipped: bool) -> bytes:
    """The body as it is sent; what is said of it stands in the headers."""
    if len(body) < LARGE:
        return body
    begun["headers"] += [(b"vary", b"Accept-Encoding")]
    if not zipped:
        return body
    if len(body) <= _ON_LOOP:
        packed = gzip.compress(body, _LEVEL, mtime=0)
    else:
        packed = await asyncio.to_thread(gzip.compress, body, _LEVEL, mtime=0)
    kept = [each for each in begun["headers"] if each[0] != b"content-length"]
    begun["headers"] = [
        *kept,
        (b"content-encoding", b"gzip"),
        (b"content-length", b"%d" % len(packed)),
    ]
    return packed


def _without_length(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [each for each in headers if each[0] not in (b"content-length", b"content-type")]


def _is_text(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    kind = next((value for name, value in headers if name == b"content-type"), b"")
    return kind.startswith(_TEXTS)


def _takes_gzip(accepted: bytes) -> bool:
    for each in accepted.lower().split(b","):
        name, *parameters = (part.strip() for part in each.split(b";"))
        if name in (b"gzip", b"*"):
            return not any(
                part.startswith(b"q=") and not part[2:].strip(b"0.") for part in parameters
            )
    return False


def _matches(asked: bytes, tag: bytes) -> bool:
    """Weakly, as RFC 9110 says for GET."""
    given = {each.strip().removeprefix(b"W/") for each in asked.split(b",")}
    return b"*" in given or tag.removeprefix(b"W/") in given
