"""Bodies of requests: a multipart form, JSON or one raw image → encoded images.

A body is parsed while it arrives, under limits of bytes and of images. What a client declares is a
hint: the bytes decide what an image is, in a part of a form too.
"""

import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Protocol

from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from models.images.formats import is_image_type, media_type, sniff, taken
from service.errors import (
    InvalidInputError,
    MalformedBodyError,
    QueueFullError,
    TooLargeError,
    UnsupportedTypeError,
)
from service.images.encoded import EncodedImage
from service.process.event_loop import PARTS_IN_A_ROW, SIMPLE_FORM_BYTES
from service.requests import base64_text, json_body, simple_form
from service.requests.base64_text import NotBase64Error
from service.requests.json_body import JSON
from service.requests.simple_form import Part
from service.settings import Settings

PART = "images"
# names that are taken, also with [] or [0]; TorchServe's clients send `data`
PARTS = (PART, "image", "files", "file", "upload", "data")
FORM = "multipart/form-data"
ALWAYS_TAKEN_BYTES = 2**20  # a body up to this is taken even if all bodies hold too much
_SEND = (
    f"send one image as the body, {FORM} with the parts named {PART!r}, or {JSON} with images as "
    "base64"
)
_BEGINNING = 2**7  # bytes that tell what a body is
_NAME = re.compile(rf"(?:{'|'.join(PARTS)})(?:\[\d{{0,6}}\])?")
_TEXT = (
    "it has no filename, so it is text, and it does not begin like an image that is taken; send it "
    f"as a file, or send {JSON} with images as base64"
)
_AS_IT_IS = ("", "binary", "8bit", "7bit")  # encodings of a part that change nothing


class Body(Protocol):
    """A parser of a body: `feed` takes its chunks as they arrive, then `images` returns its images.

    `feed` works in steps, between which other requests can get their turn. If a step yields a
    number, so many bytes were unpacked; they count as if they had arrived. Both raise a
    `ServiceError`.
    """

    def feed(self, chunk: bytes, more: bool) -> Iterable[int | None]: ...

    def images(self) -> list[EncodedImage]: ...


class BodyLimits:
    """Limits of one body, and of all bodies together, from the settings.

    When all bodies together hold too much, large ones are refused. Small ones still pass, so that a
    few clients that stall can't shut everybody out.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.held = 0  # bytes of all bodies
        self.max_images = settings.max_images

    def body(self, headers: Mapping[bytes, bytes], max_images: int | None = None) -> Body:
        """Return the parser for the body of a request with these headers.

        Raises a `ServiceError` for a form without a boundary.
        """
        declared = headers.get(b"content-type", b"").decode("latin-1")
        kind = media_type(declared)
        most = max_images or self._settings.max_images
        if kind == FORM:
            return _Form(declared, most)
        return _Image(kind) if is_image_type(kind) else _Whole(kind, most)

    def check_declared(self, headers: Mapping[bytes, bytes]) -> None:
        """Raise a `ServiceError` for a declared length over the limit."""
        length = headers.get(b"content-length", b"").lstrip(b"0")
        if length.isdigit() and (len(length) >= 20 or int(length) > self._settings.max_body_bytes):
            raise self._too_large()

    def check(self, size: int) -> None:
        """Raise a `ServiceError` if `size` bytes of a body are too many, or all bodies together."""
        if size > self._settings.max_body_bytes:
            raise self._too_large()
        if self.held > self._settings.max_held_bytes and size > ALWAYS_TAKEN_BYTES:
            raise QueueFullError(
                "the bodies of all requests together are larger than "
                f"{self._settings.max_held_bytes:,} bytes (setting max_held_bytes); "
                "try again in a second"
            )

    def _too_large(self) -> TooLargeError:
        limit = self._settings.max_body_bytes
        return TooLargeError(f"the body is larger than {limit:,} bytes (setting max_body_bytes)")


class _Image:
    """The parser of a body that is declared as an image of one of the formats."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._encoded: bytes | bytearray = b""

    def feed(self, chunk: bytes, more: bool) -> Iterable[None]:
        self._encoded = _joined(self._encoded, chunk)
        return ()

    def images(self) -> list[EncodedImage]:
        return [EncodedImage(bytes(self._encoded), self._kind, "")]


class _Whole:
    """The parser of any other body that is not a form: one image, or JSON.

    A body that does not begin like an image, and is not declared as JSON, is refused before the
    rest arrives.
    """

    def __init__(self, kind: str, limit: int) -> None:
        self._kind, self._limit = kind, limit
        self._encoded: bytes | bytearray = b""
        self._structure: json_body.Structure | None = None  # of JSON
        self._is_known = False
        self._images: list[EncodedImage] = []

    def feed(self, chunk: bytes, more: bool) -> Iterator[None]:
        self._encoded = _joined(self._encoded, chunk)
        if not self._is_known and (not more or len(self._encoded) >= _BEGINNING):
            self._is_known, chunk = True, bytes(self._encoded)
            self._look(chunk)
        if self._structure is not None:
            self._structure.check(chunk)
        if more:
            return
        body, self._encoded = self._encoded, b""
        if self._structure is None:
            self._images = [EncodedImage(bytes(body), self._kind, "")]
        else:
            self._images = yield from json_body.images(body, self._limit)

    def _look(self, beginning: bytes) -> None:
        """Find out from the first bytes whether the body is an image or JSON.

        Raises `InvalidInputError` for an empty body, `UnsupportedTypeError` for anything else.
        """
        if sniff(beginning) is not None:
            return
        if not beginning:
            raise InvalidInputError(f"the body is empty; {_SEND}")
        if self._kind == JSON:
            self._structure = json_body.Structure(self._limit)
            return
        hint = f"; for JSON, set Content-Type: {JSON}" if beginning.lstrip()[:1] == b"{" else ""
        raise UnsupportedTypeError(
            f"Content-Type is {self._kind or 'absent'}, and the body is no image that is taken: "
            f"{_SEND} (taken are {taken()}){hint}"
        )

    def images(self) -> list[EncodedImage]:
        return self._images


class _Form:
    """The parser of a form; raises a `ServiceError` if it is malformed or has over `limit` parts.

    A small form is kept until it has arrived, and split by `simple_form` if it is plain. Others are
    parsed as they arrive.
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
            if more and len(self._kept) <= SIMPLE_FORM_BYTES:
                return
            chunk, self._kept = bytes(self._kept), b""
            if not chunk:
                raise InvalidInputError(f"the body is empty; {_SEND}")
            plain = None if more else simple_form.parts(chunk, self._boundary, self._limit)
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
                    content, self._encoded = bytes(self._encoded), b""
                    self._parts.append((yield from _part(self._begun, content)))
                    if len(self._parts) % PARTS_IN_A_ROW == 0:
                        yield
                elif isinstance(event, MultipartSegment):
                    if not event.name:
                        raise _malformed("a part has no name")
                    if len(self._parts) == self._limit:
                        raise self._too_many()
                    self._begun, self._encoded = event, b""
                else:
                    self._encoded = _joined(self._encoded, event)
        except ParserLimitReached as error:
            raise _malformed(
                f"part {len(self._parts)} has too many headers, or too long ones; "
                "Content-Disposition and Content-Type are enough"
            ) from _without_frames(error)
        except MultipartError as error:  # its text is the parser's, and may quote an exception
            raise _malformed(
                f"part {len(self._parts)} is not well-formed; a part is a line --boundary, header "
                "lines in UTF-8 with Content-Disposition: form-data, an empty line and the content"
            ) from _without_frames(error)

    def images(self) -> list[EncodedImage]:
        try:
            if self._parser is not None:
                self._parser.close()
        except MultipartError as error:
            raise _malformed("it ends before its last boundary") from _without_frames(error)
        others = [part for part in self._parts if not _is_taken(part.name)]
        if others or not self._parts:
            named = ", ".join(repr(name) for name in sorted({part.name for part in others}))
            names = ", ".join(map(repr, PARTS[1:]))
            is_text = any(map(_is_text, others))
            hint = "; parameters such as top_k stand in the URL" if is_text else ""
            raise InvalidInputError(
                f"each image is a part named {PART!r} (taken too: {names}); "
                f"the form has {named or 'no part'}{hint}"
            )
        return [
            EncodedImage(
                part.content,
                media_type(part.content_type),
                part.filename or "",
                _TEXT if _is_text(part) else None,
            )
            for part in self._parts
        ]

    def _too_many(self) -> TooLargeError:
        return TooLargeError(f"more than {self._limit} images in a request (setting max_images)")


def _part(segment: MultipartSegment, content: bytes) -> Generator[None, None, Part]:
    """Decode the content of a part; raise a `ServiceError` for an unknown encoding."""
    encoding = segment.header("Content-Transfer-Encoding", "").strip().lower()
    if encoding == "base64":
        try:
            content = yield from base64_text.decoded(content)
        except NotBase64Error as error:
            raise _malformed(f"the part {segment.name!r} {error}") from None
    elif encoding not in _AS_IT_IS:
        raise _malformed(
            f"the part {segment.name!r} has the Content-Transfer-Encoding {encoding[:40]!r}; send "
            "the bytes as they are, without this header, or as base64"
        )
    return Part(segment.name or "", segment.filename, segment.content_type or "", content)


def _is_taken(name: str) -> bool:
    return name == PART or _NAME.fullmatch(name) is not None


def _is_text(part: Part) -> bool:
    return part.filename is None and sniff(part.content) is None


def _joined(encoded: bytes | bytearray, chunk: bytes | bytearray) -> bytes | bytearray:
    """Append a chunk to the bytes that have arrived; the first chunk is not copied.

    A list of chunks could have millions of entries, a byte each.
    """
    if not encoded:
        return chunk
    if isinstance(encoded, bytes):
        encoded = bytearray(encoded)
    encoded += chunk
    return encoded


def _without_frames(error: MultipartError) -> MultipartError:
    """Remove the traceback of an error.

    The parser keeps the error, whose frames would keep the parser and the body in memory.
    """
    return error.with_traceback(None)


def _malformed(reason: str) -> MalformedBodyError:
    return MalformedBodyError(f"the body is not {FORM}: {reason}")
