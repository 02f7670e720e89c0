"""Bodies of requests: multipart or one raw image → uploads, still encoded.

A body is read under a limit of bytes and of time. Large parts go to temporary files, so that many
clients at once don't fill the memory.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from service.errors import (
    ClientLeftError,
    InvalidInputError,
    MalformedBodyError,
    QueueFullError,
    SlowBodyError,
    TooLargeError,
    UnavailableError,
    UnsupportedTypeError,
)
from service.formats import FORMATS, TAKEN, media_type
from service.schemas import ImageProblem
from service.settings import Settings

PART = "images"
IN_MEMORY = MultiPartParser.spool_max_size  # bytes of a part; what is larger goes to a file


@dataclass(frozen=True)
class Upload:
    """An encoded image as the client sent it; `media_type` is what the client said."""

    file: BinaryIO
    media_type: str
    filename: str


class Receiver:
    """Receives the bodies of requests, each and all together under the limits of the settings.

    When all together hold too much, large ones are refused; small ones still pass, so that a few
    clients that stall can't shut everybody out.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._held = 0  # bytes of all bodies

    @asynccontextmanager
    async def receive(self, request: Request) -> AsyncIterator[list[Upload]]:
        """The images of the request's body; their files close with the context.

        Raises a `ServiceError` for a body that is not acceptable.
        """
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            held, self._held = held + size, self._held + size
            if self._held > self._settings.max_held_bytes and held > IN_MEMORY:
                raise QueueFullError(
                    "the bodies of all requests together are larger than "
                    f"{self._settings.max_held_bytes:,} bytes (setting max_held_bytes); "
                    "try again in a second"
                )

        try:
            form = await self._form(_Bounded(request, self._settings.max_body_bytes, hold))
            try:
                yield _uploads(form)
            finally:
                await form.close()
        finally:
            self._held -= held

    async def _form(self, request: Request) -> FormData:
        """The parts of a multipart body, or one part that is the whole body."""
        declared = media_type(request.headers.get("content-type", ""))
        seconds = self._settings.request_timeout
        try:
            async with asyncio.timeout(seconds):
                if declared == "multipart/form-data":
                    return await _parse(request, self._settings.max_images)
                if declared in FORMATS:
                    file = UploadFile(await _spool(request), headers=request.headers)
                    return FormData([(PART, file)])
        except ClientDisconnect as error:
            raise ClientLeftError("the client left before its body had arrived") from error
        except TimeoutError as error:
            raise SlowBodyError(
                f"the body did not arrive within {seconds:g} s (setting request_timeout)"
            ) from error
        except OSError as error:
            raise UnavailableError(
                f"there is no room for the body now ({error.strerror}); try again in a second"
            ) from error
        raise UnsupportedTypeError(
            f"Content-Type is {declared or 'absent'}; send multipart/form-data with the parts "
            f"named {PART!r}, or one image as the body with its own type: {TAKEN}"
        )


def _uploads(form: FormData) -> list[Upload]:
    others = sorted({name for name, _ in form.multi_items() if name != PART})
    parts = form.getlist(PART)
    if others or not parts:
        found = f"it has {', '.join(map(repr, others))}" if others else "it has none"
        raise InvalidInputError(f"each image is a part named {PART!r}; {found}")
    if texts := [index for index, part in enumerate(parts) if isinstance(part, str)]:
        raise InvalidInputError(
            "parts without a filename are text, not files",
            [ImageProblem(index=i, filename="", reason="has no filename") for i in texts],
        )
    return [
        Upload(part.file, media_type(part.content_type or ""), part.filename or "")
        for part in parts
        if isinstance(part, UploadFile)
    ]


async def _parse(request: Request, limit: int) -> FormData:
    try:
        return await _WholeForm(request, limit).parse()
    except MultiPartException as error:
        message = f"the body is not multipart/form-data: {error.message}"
        raise MalformedBodyError(message) from error


def _boundary_only(headers: Headers) -> Headers:
    """The Content-Type without what else it says: a charset would choose the codec for names."""
    boundary = parse_options_header(headers["content-type"])[1].get(b"boundary")
    if not boundary:
        raise MultiPartException("Its Content-Type names no boundary.")
    quoted = boundary.decode("latin-1").replace("\\", "\\\\").replace('"', '\\"')
    return Headers({"content-type": f'multipart/form-data; boundary="{quoted}"'})


class _WholeForm(MultiPartParser):
    """A multipart parser that refuses more parts than the limit, and a body without its end."""

    def __init__(self, request: Request, limit: int) -> None:
        self._limit, self._parts, self._ended = limit, 0, False
        headers, stream = _boundary_only(request.headers), self._whole(request.stream())
        super().__init__(headers, stream, max_files=limit, max_fields=limit)

    def on_part_begin(self) -> None:
        super().on_part_begin()
        self._parts += 1
        if self._parts > self._limit:
            raise TooLargeError(f"more than {self._limit} images in a request (setting max_images)")

    def on_end(self) -> None:
        self._ended = True

    async def _whole(self, stream: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        async for chunk in stream:
            yield chunk
        if not self._ended:
            raise MultiPartException("It ends before its last boundary.")


class _Bounded(Request):
    """A request whose body raises `TooLargeError` past the limit; `hold` hears of each chunk."""

    def __init__(self, request: Request, limit: int, hold: Callable[[int], None]) -> None:
        self._limit, self._received, self._hold = limit, 0, hold
        self._unbounded = request.receive
        super().__init__(request.scope, self._counted)
        declared = request.headers.get("content-length", "").lstrip("0")
        digits = declared if declared.isdecimal() else "0"
        self._check(int(digits) if len(digits) < 20 else limit + 1)

    async def _counted(self) -> Message:
        message = await self._unbounded()
        size = len(message.get("body", b""))
        self._received += size
        self._check(self._received)
        self._hold(size)
        return message

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise TooLargeError(
                f"the body is larger than {self._limit:,} bytes (setting max_body_bytes)"
            )


async def _spool(request: Request) -> BinaryIO:
    """The whole body, in memory if it is small."""
    file = cast(BinaryIO, SpooledTemporaryFile(IN_MEMORY))  # noqa: SIM115 (closed with the form)
    try:
        async for chunk in request.stream():
            file.write(chunk)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file
