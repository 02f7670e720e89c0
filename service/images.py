"""Images of a request: uploads → pixels, with everything bad about them told at once.

They are decoded by a pool of threads, each checked by its header first, before any of them is
queued: a bad one can't fail its neighbours in a batch.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar, cast

from PIL import Image, ImageOps
from torch import Tensor

from models.preprocessing import ImageError, InputSpec, TooManyPixelsError, decode
from service import preflight
from service.errors import (
    InvalidInputError,
    QueueFullError,
    ServiceError,
    TooLargeError,
    UnsupportedTypeError,
)
from service.formats import FORMATS, TAKEN, sniff
from service.schemas import ImageProblem
from service.settings import Settings
from service.uploads import Upload

Taken = TypeVar("Taken")
_ORIGINAL = 512  # pixels of the longer side that is kept of an image as it was sent
_UNDECLARED = ("", "application/octet-stream")  # what clients send that don't know the type


class Decoder:
    """Decodes uploads on threads of its own, under the limits of the settings.

    At most `max_queue_size` images may wait. A request has at most as many images before the
    threads as there are threads, so that requests take turns, however large one is.
    """

    def __init__(self, settings: Settings, threads: int) -> None:
        self._settings = settings
        self._threads = threads
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._waiting = 0

    def close(self) -> None:
        """Forget what waits, and let the threads finish what they do."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    async def decode(
        self, uploads: Sequence[Upload], take: Callable[[Image.Image], Taken]
    ) -> list[Taken]:
        """What is taken of each image, once it is decoded: its pixels, say; in the order sent.

        Raises a `ServiceError` that names every image that is not acceptable.
        """
        settings = self._settings
        if self._waiting + len(uploads) > settings.max_queue_size:
            raise QueueFullError(
                f"{self._waiting} images wait to be decoded and {len(uploads)} more would pass "
                f"the limit of {settings.max_queue_size} (setting max_queue_size); "
                "try again in a second"
            )
        loop, turns = asyncio.get_running_loop(), asyncio.Semaphore(self._threads)

        async def taken(upload: Upload) -> Taken:
            async with turns:
                return await loop.run_in_executor(self._executor, _taken, upload, take, settings)

        self._waiting += len(uploads)
        try:
            outcomes = await asyncio.gather(*map(taken, uploads), return_exceptions=True)
        finally:
            self._waiting -= len(uploads)
        faults = {i: o for i, o in enumerate(outcomes) if isinstance(o, BaseException)}
        if faults:
            raise _joined(faults, uploads)
        return cast(list[Taken], outcomes)


@dataclass(frozen=True)
class Opened:
    """An image as the network gets it, uint8 (C, H, W), and as it was sent, upright, made small.

    `box` is the part of it that the network gets: left, top, right, bottom in fractions of its
    width and height.
    """

    pixels: Tensor
    original: Image.Image
    box: tuple[float, float, float, float]


def opened(image: Image.Image, spec: InputSpec) -> Opened:
    """For `Decoder.decode`, where more than the pixels is wanted."""
    left, top, right, bottom = spec.box(image.size)
    box = left / image.width, top / image.height, right / image.width, bottom / image.height
    pixels = spec.pixels(image)
    if max(image.size) > _ORIGINAL:
        image = ImageOps.contain(image, (_ORIGINAL, _ORIGINAL), Image.Resampling.BILINEAR)
    return Opened(pixels, image, box)


def _taken(upload: Upload, take: Callable[[Image.Image], Taken], settings: Settings) -> Taken:
    """Decode one upload, and take what is wanted; raises the `ServiceError` that it deserves."""
    encoded = upload.file.read()
    actual = _media_type(encoded, upload.media_type)
    if reason := preflight.refusal(encoded, actual):
        raise InvalidInputError(reason)
    formats = (FORMATS[actual].pillow,)
    try:
        return take(decode(encoded, formats=formats, max_pixels=settings.max_image_pixels))
    except TooManyPixelsError as error:
        raise TooLargeError(f"{error} (setting max_image_pixels)") from error
    except ImageError as error:
        raise InvalidInputError(str(error)) from error


def _media_type(encoded: bytes, declared: str) -> str:
    """What the bytes are, if that is taken and the client didn't say otherwise."""
    if not encoded:
        raise InvalidInputError("empty")
    actual = sniff(encoded)
    if declared not in (*FORMATS, *_UNDECLARED) or (actual is None and declared in _UNDECLARED):
        said = f"the type is {declared}" if declared else "no type is given"
        raise UnsupportedTypeError(f"{said}, and taken are {TAKEN}")
    if actual is None or declared not in (actual, *_UNDECLARED):
        raise InvalidInputError(f"said to be {declared}, but the bytes are {actual or 'not'}")
    return actual


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
