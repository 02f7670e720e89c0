"""Images of a request: body → uploads → pixels, with everything bad about them told at once.

A body is read under a limit of bytes and time; larger parts go to temporary files. Images are
decoded by a pool of threads, each checked by its header first, before any of them is queued.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message
from torch import Tensor

from models.preprocessing import ImageError, InputSpec, TooManyPixelsError, decode
from service.errors import (
    ClientLeftError,
    InvalidInputError,
    MalformedBodyError,
    QueueFullError,
    ServiceError,
    SlowBodyError,
    TooLargeError,
    UnsupportedTypeError,
)
from service.schemas import ImageProblem
from service.settings import Settings

PART = "images"
SPOOLED = 2**20  # bytes of a part that stay in memory

# media type → Pillow's name of the format, and how its files begin
FORMATS = {
    "image/png": ("PNG", (b"\x89PNG\r\n\x1a\n",)),
    "image/jpeg": ("JPEG", (b"\xff\xd8\xff",)),
    "image/webp": ("WEBP", (b"RIFF",)),
    "image/bmp": ("BMP", (b"BM",)),
    "image/gif": ("GIF", (b"GIF87a", b"GIF89a")),
}
TAKEN = ", ".join(FORMATS)
_SCAN = b"\xff\xda"  # begins each scan of a JPEG; usual progressive ones have about ten
MAX_SCANS = 100  # each costs a pass over all pixels, however few bytes it has
_UNDECLARED = ("", "application/octet-stream")  # what clients send that don't know the type


@dataclass(frozen=True)
class Upload:
    """An encoded image as the client sent it; `media_type` is what the client said."""

    file: BinaryIO
    media_type: str
    filename: str = ""


class ImageReader:
    """Reads and decodes the images of requests, under the limits of the settings.

    At most `max_queue_size` images may wait for the decoding threads.
    """

    def __init__(self, settings: Settings, threads: int) -> None:
        self._settings = settings
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._waiting = 0

    def close(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)

    @asynccontextmanager
    async def receive(self, request: Request) -> AsyncIterator[list[Upload]]:
        """The images of the request's body, still encoded; their files close with the context.

        Raises a `ServiceError` for a body that is not acceptable.
        """
        media_type = _media_type(request.headers.get("content-type", ""))
        settings = self._settings
        bounded = _Bounded(request, settings.max_body_bytes)
        try:
            async with asyncio.timeout(settings.request_timeout):
                if media_type == "multipart/form-data":
                    form = await self._form(bounded)
                elif media_type in FORMATS:
                    file = await _spool(bounded)
                    form = FormData([(PART, UploadFile(file, headers=request.headers))])
                else:
                    raise UnsupportedTypeError(
                        f"Content-Type is {media_type or 'absent'}; send multipart/form-data with "
                        f"the parts named {PART!r}, or one image as the body with its own type: "
                        f"{TAKEN}"
                    )
        except ClientDisconnect as error:
            raise ClientLeftError("the client left before its body had arrived") from error
        except TimeoutError as error:
            raise SlowBodyError(
                f"the body did not arrive within {settings.request_timeout:g} s "
                "(setting request_timeout)"
            ) from error
        try:
            yield self._parts(form)
        finally:
            await form.close()

    async def _form(self, request: Request) -> FormData:
        limit = self._settings.max_images
        try:
            return await _WholeForm(request, limit).parse()
        except MultiPartException as error:
            if error.message.startswith("Too many files"):
                raise TooLargeError(
                    f"more than {limit} images in a request (setting max_images)"
                ) from error
            raise MalformedBodyError(
                f"the body is not multipart/form-data: {error.message}"
            ) from error

    def _parts(self, form: FormData) -> list[Upload]:
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
            Upload(part.file, _media_type(part.content_type or ""), part.filename or "")
            for part in parts
            if isinstance(part, UploadFile)
        ]

    async def decode(self, uploads: Sequence[Upload], spec: InputSpec) -> list[Tensor]:
        """The images as uint8 pixels (C, H, W), in the order sent.

        Raises a `ServiceError` that names every image that is not acceptable.
        """
        settings = self._settings
        if self._waiting + len(uploads) > settings.max_queue_size:
            raise QueueFullError(
                f"{self._waiting} images wait to be decoded and {len(uploads)} more would pass "
                f"the limit of {settings.max_queue_size} (setting max_queue_size); "
                "try again in a second"
            )
        loop = asyncio.get_running_loop()
        self._waiting += len(uploads)
        try:
            pending = [
                loop.run_in_executor(self._executor, _pixels, upload, spec, settings)
                for upload in uploads
            ]
            outcomes = await asyncio.gather(*pending, return_exceptions=True)
        finally:
            self._waiting -= len(uploads)
        faults = {i: o for i, o in enumerate(outcomes) if isinstance(o, BaseException)}
        if faults:
            raise _joined(faults, uploads)
        return cast(list[Tensor], outcomes)


def _pixels(upload: Upload, spec: InputSpec, settings: Settings) -> Tensor:
    """Decode one upload; raises the `ServiceError` that it deserves."""
    head = upload.file.read(16)
    upload.file.seek(0)
    if not head:
        raise InvalidInputError("empty")
    actual = next((m for m, (_, magic) in FORMATS.items() if head.startswith(magic)), None)
    declared = upload.media_type
    if declared not in (*FORMATS, *_UNDECLARED) or (actual is None and declared in _UNDECLARED):
        said = f"the type is {declared}" if declared else "no type is given"
        raise UnsupportedTypeError(f"{said}, and taken are {TAKEN}")
    if actual is None or declared not in (actual, *_UNDECLARED):
        raise InvalidInputError(f"said to be {declared}, but the bytes are {actual or 'not'}")
    encoded = upload.file.read()
    if (scans := encoded.count(_SCAN) if actual == "image/jpeg" else 0) > MAX_SCANS:
        raise InvalidInputError(f"a JPEG of {scans:,} scans; at most {MAX_SCANS} are taken")
    try:
        image = decode(encoded, formats=(FORMATS[actual][0],), max_pixels=settings.max_image_pixels)
        return spec.pixels(image)
    except TooManyPixelsError as error:
        raise TooLargeError(f"{error} (setting max_image_pixels)") from error
    except ImageError as error:
        raise InvalidInputError(str(error)) from error


def _joined(faults: dict[int, BaseException], uploads: Sequence[Upload]) -> BaseException:
    """One error that names all bad images; unexpected exceptions go through as they are."""
    for fault in faults.values():
        if not isinstance(fault, ServiceError):
            return fault
    kinds = {type(fault) for fault in faults.values()}
    kind = cast(type[ServiceError], kinds.pop() if len(kinds) == 1 else InvalidInputError)
    problems = [
        ImageProblem(index=index, filename=uploads[index].filename, reason=str(fault))
        for index, fault in faults.items()
    ]
    count = f"{len(problems)} of {len(uploads)} images" if len(uploads) > 1 else "the image"
    return kind(
        f"{count} can't be used, and nothing was predicted: "
        + "; ".join(f"image {p.index}: {p.reason}" for p in problems[:3])
        + ("; …" if len(problems) > 3 else ""),
        problems,
    )


def _media_type(header: str) -> str:
    """The media type of a Content-Type header, without parameters, in lower case."""
    media_type = header.partition(";")[0].strip().lower()
    return {"image/jpg": "image/jpeg", "image/x-ms-bmp": "image/bmp"}.get(media_type, media_type)


class _WholeForm(MultiPartParser):
    """A multipart parser that also refuses a body without its last boundary."""

    def __init__(self, request: Request, limit: int) -> None:
        self._ended = False
        stream = self._whole(request.stream())
        super().__init__(request.headers, stream, max_files=limit, max_fields=limit)

    def on_end(self) -> None:
        self._ended = True

    async def _whole(self, stream: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        async for chunk in stream:
            yield chunk
        if not self._ended:
            raise MultiPartException("It ends before its last boundary.")


class _Bounded(Request):
    """A request whose body raises `TooLargeError` once it passes the limit."""

    def __init__(self, request: Request, limit: int) -> None:
        self._limit, self._received = limit, 0
        self._unbounded = request.receive
        super().__init__(request.scope, self._counted)
        declared = request.headers.get("content-length", "")
        self._count(int(declared) if declared.isdecimal() else 0)
        self._received = 0

    async def _counted(self) -> Message:
        message = await self._unbounded()
        self._count(len(message.get("body", b"")))
        return message

    def _count(self, size: int) -> None:
        self._received += size
        if self._received > self._limit:
            raise TooLargeError(
                f"the body is larger than {self._limit:,} bytes (setting max_body_bytes)"
            )


async def _spool(request: Request) -> BinaryIO:
    """The whole body, in memory if it is small."""
    file = cast(BinaryIO, SpooledTemporaryFile(max_size=SPOOLED))  # noqa: SIM115 (closed with the form)
    try:
        async for chunk in request.stream():
            file.write(chunk)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file
