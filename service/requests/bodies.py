"""Bodies of requests: a multipart form or one raw image → encoded images.

A body is parsed while it arrives, under limits of bytes and of images.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from models.image_formats import media_type, served, taken
from service.errors import (
    ImageFault,
    InvalidInputError,
    MalformedBodyError,
    QueueFullError,
    TooLargeError,
    UnsupportedTypeError,
)
from service.images.encoded import EncodedImage
from service.process.event_loop import PARTS_IN_A_ROW, SIMPLE_FORM_BYTES
from service.requests import simple_form
from service.requests.simple_form import Part
from service.settings import Settings

PART = "images"
FORM = "multipart/form-data"
ALWAYS_TAKEN_BYTES = 2**20  # a body up to this is taken even if all bodies hold too much


class Body(Protocol):
    """Takes the chunks of a body as they arrive; `images` tells what they were.

    `feed` has steps, between which other requests can get their turn. Both raise a `ServiceError`.
    """

    def feed(self, chunk: bytes, more: bool) -> Iterable[None]: ...

    def images(self) -> list[EncodedImage]: ...


class BodyLimits:
    """Limits of one body, and of all bodies together, from the settings.

    When all bodies together hold too much, large ones are refused. Small ones still pass, so that a
    few clients that stall can't shut everybody out.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.held = 0  # bytes of all bodies

    def body(self, headers: Mapping[bytes, bytes], max_images: int | None = None) -> Body:
        """What parses the body of a request with these headers.

        Raises a `ServiceError` for a declared length over the limit, or a Content-Type that is not
        taken.
        """
        length = headers.get(b"content-length", b"").lstrip(b"0")
        if length.isdigit() and (len(length) >= 20 or int(length) > self._settings.max_body_bytes):
            raise self._too_large()
        declared = headers.get(b"content-type", b"").decode("latin-1")
        kind = media_type(declared)
        if kind == FORM:
            return _Form(declared, max_images or self._settings.max_images)
        if kind in served():
            return _Raw(kind)
        raise UnsupportedTypeError(
            f"Content-Type is {kind or 'absent'}; send {FORM} with the parts named {PART!r}, or "
            f"one image as the body with its own type: {taken()}"
        )

    def check(self, size: int) -> None:
        """Raise a `ServiceError` if so many bytes of a body, or of all bodies, are too many."""
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


class _Raw:
    """One image that is the whole body."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._encoded: bytes | bytearray = b""

    def feed(self, chunk: bytes, more: bool) -> Iterable[None]:
        self._encoded = _joined(self._encoded, chunk)
        return ()

    def images(self) -> list[EncodedImage]:
        return [EncodedImage(bytes(self._encoded), self._kind, "")]


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
            if more and len(self._kept) <= SIMPLE_FORM_BYTES:
                return
            chunk, self._kept = bytes(self._kept), b""
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
                    self._parts.append(_part(self._begun, bytes(self._encoded)))
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
        others = sorted({part.name for part in self._parts if part.name != PART})
        if others or not self._parts:
            found = f"it has {', '.join(map(repr, others))}" if others else "it has none"
            raise InvalidInputError(f"each image is a part named {PART!r}; {found}")
        if texts := [i for i, part in enumerate(self._parts) if part.filename is None]:
            raise InvalidInputError(
                "parts without a filename are text, not files",
                [ImageFault(index=i, filename="", reason="has no filename") for i in texts],
            )
        return [
            EncodedImage(part.content, media_type(part.content_type), part.filename or "")
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


def _without_frames(error: MultipartError) -> MultipartError:
    """The error, which the parser keeps: with its frames it would keep the parser and the body."""
    return error.with_traceback(None)


def _malformed(reason: str) -> MalformedBodyError:
    return MalformedBodyError(f"the body is not {FORM}: {reason}")
