"""Bodies of requests: multipart or one raw image → uploads, still encoded.

A body is read under limits of bytes and of time, and parsed while it arrives.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header
from starlette.types import Receive, Scope

from service import plain_form
from service.errors import (
    ClientLeftError,
    InvalidInputError,
    MalformedBodyError,
    QueueFullError,
    TooLargeError,
    UnsupportedTypeError,
)
from service.formats import FORMATS, TAKEN, media_type
from service.patience import Patience, Rounds
from service.plain_form import Part
from service.schemas import ImageProblem
from service.settings import Settings

PART = "images"
FORM = "multipart/form-data"
_IN_A_ROW = 32  # parts of a form, before others get their turn
SMALL = 2**20  # bytes of a body that is taken even if all together hold too much


class Upload(NamedTuple):
    """An encoded image as the client sent it; `media_type` is what the client said."""

    encoded: bytes
    media_type: str
    filename: str


class Receiver:
    """Receives the bodies of requests, each and all together under the limits of the settings.

    When all together hold too much, large ones are refused; small ones still pass, so that a few
    clients that stall can't shut everybody out.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.rounds = Rounds()
        self.held = 0  # bytes of all bodies

    def receive(self, scope: Scope, receive: Receive) -> "Reception":
        """The images of the request's body, as an async context manager.

        Entering it raises a `ServiceError` for a body that is not acceptable. What goes on inside
        is cancelled when the client or the time is gone (see `Patience`).
        """
        body = self._body(dict(scope["headers"]), self._settings.max_images)
        return Reception(self, body, receive)

    def whole(self, headers: Mapping[bytes, bytes], body: bytes, most: int) -> list[Upload]:
        """The images of a body that is all there, and small, if there are so many at most.

        Raises a `ServiceError`.
        """
        taken = self._body(headers, min(most, self._settings.max_images))
        self.check(len(body))
        for _ in taken.feed(body, more=False):
            pass
        return taken.uploads()

    def patience(self, receive: Receive) -> Patience:
        return Patience(receive, self._settings.request_timeout, self.rounds)

    def _body(self, headers: Mapping[bytes, bytes], max_images: int) -> "_Body":
        """What takes the chunks of a body with these headers."""
        length = headers.get(b"content-length", b"").lstrip(b"0")
        if length.isdigit() and (len(length) >= 20 or int(length) > self._settings.max_body_bytes):
            raise self._too_large()
        declared = headers.get(b"content-type", b"").decode("latin-1")
        kind = media_type(declared)
        if kind == FORM:
            return _Form(declared, max_images)
        if kind in FORMATS:
            return _Raw(kind)
        raise UnsupportedTypeError(
            f"Content-Type is {kind or 'absent'}; send {FORM} with the parts named {PART!r}, or "
            f"one image as the body with its own type: {TAKEN}"
        )

    def check(self, size: int) -> None:
        """Raises for a body of which so many bytes have arrived."""
        if size > self._settings.max_body_bytes:
            raise self._too_large()
        if self.held > self._settings.max_held_bytes and size > SMALL:
            raise QueueFullError(
                "the bodies of all requests together are larger than "
                f"{self._settings.max_held_bytes:,} bytes (setting max_held_bytes); "
                "try again in a second"
            )

    def _too_large(self) -> TooLargeError:
        limit = self._settings.max_body_bytes
        return TooLargeError(f"the body is larger than {limit:,} bytes (setting max_body_bytes)")


class Reception:
    """A body that is received; its room is given back when the context is left.

    It is a class, and no generator, since every prediction goes through it.
    """

    def __init__(self, receiver: Receiver, body: "_Body", receive: Receive) -> None:
        self._receiver, self._body, self._receive = receiver, body, receive
        self._patience = receiver.patience(receive)
        self._size = 0

    async def __aenter__(self) -> list[Upload]:
        self._patience.begin()
        try:
            more = True
            while more:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise ClientLeftError("the client left before its body had arrived")
                chunk = message.get("body", b"")
                more = message.get("more_body", False)
                self._size += len(chunk)
                self._receiver.held += len(chunk)
                self._receiver.check(self._size)
                for _ in self._body.feed(chunk, more):
                    await asyncio.sleep(0)
            uploads = self._body.uploads()
        except BaseException as error:
            self._end(error)
            raise
        self._patience.received()
        return uploads

    async def __aexit__(self, _kind: object, error: BaseException | None, _where: object) -> None:
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        self._receiver.held -= self._size
        self._patience.end(error)


class _Body(Protocol):
    """Takes the chunks of a body as they arrive, until no more come, and tells what they were.

    Taking a chunk may have steps, between which others can get their turn.
    """

    def feed(self, chunk: bytes, more: bool) -> Iterable[None]: ...

    def uploads(self) -> list[Upload]: ...


class _Raw:
    """One image that is the whole body."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._encoded: bytes | bytearray = b""

    def feed(self, chunk: bytes, more: bool) -> Iterable[None]:
        self._encoded = _joined(self._encoded, chunk)
        return ()

    def uploads(self) -> list[Upload]:
        return [Upload(bytes(self._encoded), self._kind, "")]


class _Form:
    """The parts of a form; raises for more than `limit`, and for what is not a whole form.

    A small one is kept until it is whole, and split at once if it is plain. Others are parsed while
    they arrive.
    """

    def __init__(self, content_type: str, limit: int) -> None:
        _, options = parse_options_header(content_type)
        self._boundary = options.get("boundary", "").encode("latin-1")
        if not self._boundary or b"\n" in self._boundary:
            raise _malformed("its Content-Type names no boundary")
        self._limit = limit
        self._kept: bytes | bytearray = b""
        self._parser: PushMultipartParser | None = None  # unless the form is small and plain
        self._parts: list[Part] = []
        self._begun: MultipartSegment | None = None
        self._encoded: bytes | bytearray = b""  # of the part that has begun

    def feed(self, chunk: bytes, more: bool) -> Iterator[None]:
        if self._parser is None:
            self._kept = _joined(self._kept, chunk)
            if more and len(self._kept) <= plain_form.MAX_BYTES:
                return
            chunk, self._kept = bytes(self._kept), b""
            plain = None if more else plain_form.parts(chunk, self._boundary, self._limit)
            if plain is not None:
                if len(plain) > self._limit:
                    raise self._too_many()
                self._parts = plain
                return
            self._parser = PushMultipartParser(self._boundary)
        if not chunk:  # which would mean the end to the parser
            return
        try:
            for event in self._parser.parse(chunk):
                if event is None:
                    assert self._begun is not None  # noqa: S101
                    self._parts.append(_part(self._begun, bytes(self._encoded)))
                    if len(self._parts) % _IN_A_ROW == 0:
                        yield
                elif isinstance(event, MultipartSegment):
                    if not event.name:
                        raise _malformed("a part has no name")
                    if len(self._parts) == self._limit:
                        raise self._too_many()
                    self._begun, self._encoded = event, b""
                else:
                    self._encoded = _joined(self._encoded, event)
        except MultipartError as error:
            raise _malformed(str(error)) from error

    def uploads(self) -> list[Upload]:
        try:
            if self._parser is not None:
                self._parser.close()
        except MultipartError as error:
            raise _malformed("it ends before its last boundary") from error
        others = sorted({part.name for part in self._parts if part.name != PART})
        if others or not self._parts:
            found = f"it has {', '.join(map(repr, others))}" if others else "it has none"
            raise InvalidInputError(f"each image is a part named {PART!r}; {found}")
        if texts := [i for i, part in enumerate(self._parts) if part.filename is None]:
            raise InvalidInputError(
                "parts without a filename are text, not files",
                [ImageProblem(index=i, filename="", reason="has no filename") for i in texts],
            )
        return [
            Upload(part.content, media_type(part.content_type), part.filename or "")
            for part in self._parts
        ]

    def _too_many(self) -> TooLargeError:
        return TooLargeError(f"more than {self._limit} images in a request (setting max_images)")


def _part(segment: MultipartSegment, content: bytes) -> Part:
    return Part(segment.name or "", segment.filename, segment.content_type or "", content)


def _joined(encoded: bytes | bytearray, chunk: bytes | bytearray) -> bytes | bytearray:
    """What has arrived with what arrives, copied only from the second chunk on.

    It is no list of chunks, which could be millions of a byte each.
    """
    if not encoded:
        return chunk
    if isinstance(encoded, bytes):
        encoded = bytearray(encoded)
    encoded += chunk
    return encoded


def _malformed(reason: str) -> MalformedBodyError:
    return MalformedBodyError(f"the body is not {FORM}: {reason}")
