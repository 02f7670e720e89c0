"""Images of a request: uploads → pixels, with everything bad about them told at once.

Each is checked by its header first, and all are decoded before any of them is queued: a bad one
can't fail its neighbours in a batch. Small plain pictures are decoded at once, in less time than a
thread takes to wake up; the others by a pool of threads, which on a single processor would only
take turns with the loop: there usual JPEGs are decoded at once too.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from PIL import Image, ImageOps

from models import preprocessing
from models.preprocessing import ImageError, InputSpec, Pixels, TooManyPixelsError
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
Take = Callable[[bytes, tuple[str, ...], int], Taken]  # of encoded, formats and max_pixels
_ORIGINAL = 512  # pixels of the longer side that is kept of an image as it was sent
IN_A_ROW = 4  # small images, before others get their turn
_QUICK_BYTES, _QUICK_PIXELS = 2**17, 2**20  # of a JPEG that is decoded in some milliseconds
_QUICK_HEAD = 2**13  # bytes before its pixels
_SMALL_BYTES = 2**14  # of a body with few small images
_FORM_BYTES = 2**10  # of a form around an image
_UNDECLARED = ("", "application/octet-stream")  # what clients send that don't know the type
_PERHAPS_PNG = ("image/png", *_UNDECLARED)


@dataclass(frozen=True)
class Opened:
    """An image as the network gets it, uint8 (C, H, W), and as it was sent, upright, made small.

    `box` is the part of it that the network gets: left, top, right, bottom in fractions of its
    width and height.
    """

    pixels: Pixels
    original: Image.Image
    box: tuple[float, float, float, float]


class Decoder:
    """Decodes uploads under the limits of the settings, the larger ones on threads of its own.

    At most `max_queue_size` images may wait. Requests take turns, however large one is: it has at
    most as many images before the threads as there are threads.
    """

    def __init__(self, settings: Settings, threads: int) -> None:
        self._settings = settings
        self._threads = threads
        self._quick_pixels = min(_QUICK_PIXELS, settings.max_image_pixels)
        # of a body that is perhaps decoded at once
        self.quick_bytes = _SMALL_BYTES if threads > 1 else _QUICK_BYTES + _FORM_BYTES
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._waiting = 0

    def close(self) -> None:
        """Forget what waits, and let the threads finish what they do."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    async def pixels(self, uploads: Sequence[Upload], spec: InputSpec) -> list[Pixels]:
        """The images as the network gets them, uint8 (C, H, W), in the order sent.

        Raises a `ServiceError` that names every image that is not acceptable.
        """
        found: list[Pixels | None] = []
        for index, upload in enumerate(uploads):
            if index % IN_A_ROW == IN_A_ROW - 1:
                await asyncio.sleep(0)
            found.append(self._small(upload, spec))
        others = [index for index, array in enumerate(found) if array is None]
        if others:
            decoded = await self._decode(uploads, others, _pixels_for(spec))
            for index in others:
                found[index] = decoded[index]
        return cast(list[Pixels], found)

    def at_once(self, uploads: Sequence[Upload], spec: InputSpec) -> list[Pixels] | None:
        """The same for `IN_A_ROW` images at most, if all are small, or for one quick JPEG.

        For others it is None. Raises a `ServiceError` for a JPEG that is not acceptable.
        """
        if len(uploads) > IN_A_ROW:
            return None
        found = []
        for upload in uploads:
            pixels = self._small(upload, spec)
            if pixels is None:
                if len(uploads) > 1 or not self._is_quick_jpeg(upload):
                    return None
                pixels = self._quick(upload, spec)
            found.append(pixels)
        return found

    def _quick(self, upload: Upload, spec: InputSpec) -> Pixels:
        most = self._settings.max_image_pixels
        try:
            return _taken(upload, _pixels_for(spec), most, checked=True)
        except ServiceError as error:
            raise _joined({0: error}, [upload]) from error

    def _small(self, upload: Upload, spec: InputSpec) -> Pixels | None:
        """The pixels of a small plain picture, in less time than a thread takes to wake up."""
        if upload.media_type not in _PERHAPS_PNG:
            return None
        most = self._settings.max_image_pixels
        return preprocessing.read_small(upload.encoded, spec, max_pixels=most)

    def _is_quick_jpeg(self, upload: Upload) -> bool:
        """Whether threads would only take turns with the loop, and this one is soon decoded.

        What comes before its pixels costs Pillow half a millisecond a kilobyte, at worst.
        """
        encoded = upload.encoded
        if self._threads > 1 or len(encoded) > _QUICK_BYTES or sniff(encoded) != "image/jpeg":
            return False
        frame = preflight.only_frame(encoded)
        return (
            frame is not None
            and frame.width * frame.height <= self._quick_pixels
            and frame.components in (1, 3)
            and frame.head <= _QUICK_HEAD
        )

    async def opened(self, uploads: Sequence[Upload], spec: InputSpec) -> list[Opened]:
        """The same, with the images as they were sent."""

        def take(encoded: bytes, formats: tuple[str, ...], max_pixels: int) -> Opened:
            limits: dict[str, Any] = {"formats": formats, "max_pixels": max_pixels}
            image = preprocessing.decode(encoded, at_least=_ORIGINAL, **limits)
            if formats == ("JPEG",):  # of which the network may get one decoded at another size
                pixels = preprocessing.read(encoded, spec, **limits)
            else:
                pixels = spec.array(image)
            left, top, right, bottom = spec.box(image.size)
            box = left / image.width, top / image.height, right / image.width, bottom / image.height
            if max(image.size) > _ORIGINAL:
                shown = (_ORIGINAL, _ORIGINAL)
                image = ImageOps.contain(image, shown, Image.Resampling.BILINEAR)
            return Opened(pixels, image, box)

        decoded = await self._decode(uploads, range(len(uploads)), take)
        return list(decoded.values())

    async def _decode(
        self, uploads: Sequence[Upload], places: Sequence[int], take: Take[Taken]
    ) -> dict[int, Taken]:
        """What `take` makes of the uploads in these places, on the threads."""
        settings = self._settings
        if self._waiting + len(places) > settings.max_queue_size:
            raise QueueFullError(
                f"{self._waiting} images wait to be decoded and {len(places)} more would pass "
                f"the limit of {settings.max_queue_size} (setting max_queue_size); "
                "try again in a second"
            )
        most = settings.max_image_pixels
        loop, turns = asyncio.get_running_loop(), asyncio.Semaphore(self._threads)

        async def taken(place: int) -> Taken | Exception:
            try:
                return await decoded(uploads[place])
            except Exception as error:
                return error

        async def decoded(upload: Upload) -> Taken:
            async with turns:
                if self._is_quick_jpeg(upload):
                    await asyncio.sleep(0)
                    return _taken(upload, take, most, checked=True)
                return await loop.run_in_executor(self._executor, _taken, upload, take, most)

        self._waiting += len(places)
        try:
            if len(places) == 1:  # which needs no task of its own
                outcomes = [await taken(places[0])]
            else:
                outcomes = await asyncio.gather(*map(taken, places))
        finally:
            self._waiting -= len(places)
        found = dict(zip(places, outcomes, strict=True))
        faults = {i: fault for i, fault in found.items() if isinstance(fault, Exception)}
        if faults:
            raise _joined(faults, uploads)
        return cast(dict[int, Taken], found)


def _pixels_for(spec: InputSpec) -> Take[Pixels]:
    def take(encoded: bytes, formats: tuple[str, ...], max_pixels: int) -> Pixels:
        return preprocessing.read(encoded, spec, formats=formats, max_pixels=max_pixels)

    return take


def _taken(upload: Upload, take: Take[Taken], max_pixels: int, *, checked: bool = False) -> Taken:
    """Decode one upload, and take what is wanted; raises the `ServiceError` that it deserves.

    One that was found quick has been `checked` by preflight.
    """
    try:
        actual = _media_type(upload.encoded, upload.media_type)
        if not checked and (reason := preflight.refusal(upload.encoded, actual)):
            raise InvalidInputError(reason)
        return take(upload.encoded, (FORMATS[actual].pillow,), max_pixels)
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


def _joined(faults: Mapping[int, Exception], uploads: Sequence[Upload]) -> Exception:
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
