"""Images of a request: uploads → pixels, or one error that lists all invalid images.

Headers are checked first, and all images are decoded before any is queued, so an invalid image
can't fail others in its batch. Small plain PNGs are decoded on the event loop, since that takes
less time than a thread switch. Others go to a thread pool; on a single core, small JPEGs are
decoded on the event loop too.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from PIL import Image, ImageOps

from models import image_limits, preprocessing
from models.image_formats import JPEG, PNG, ImageFormat, served, sniff, taken
from models.preprocessing import ImageError, InputSpec, Pixels, TooManyPixelsError
from service.errors import (
    ImageFault,
    InvalidInputError,
    QueueFullError,
    ServiceError,
    TooLargeError,
    UnsupportedTypeError,
)
from service.images.encoded import EncodedImage
from service.process.event_loop import (
    FORM_BYTES,
    IMAGES_IN_A_ROW,
    QUICK_JPEG_BYTES,
    QUICK_JPEG_HEAD_BYTES,
    QUICK_JPEG_PIXELS,
    SMALL_BODY_BYTES,
)
from service.settings import Settings

Taken = TypeVar("Taken")
Decode = Callable[[bytes, tuple[str, ...], int], Taken]  # of encoded, formats and max_pixels
_ORIGINAL = 512  # pixels of the longer side that is kept of an image as it was sent
_UNDECLARED = ("", "application/octet-stream")  # what clients send that don't know the type
_PERHAPS_PNG = (PNG.media_type, *_UNDECLARED)


@dataclass(frozen=True)
class DecodedImage:
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
        self._quick_pixels = min(QUICK_JPEG_PIXELS, settings.max_image_pixels)
        # of a body that is perhaps decoded at once
        self.quick_bytes = SMALL_BODY_BYTES if threads > 1 else QUICK_JPEG_BYTES + FORM_BYTES
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self.waiting = 0  # images that wait to be decoded, or are being decoded

    def close(self) -> None:
        """Forget what waits, and let the threads finish what they do."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    async def pixels(self, uploads: Sequence[EncodedImage], spec: InputSpec) -> list[Pixels]:
        """The images as the network gets them, uint8 (C, H, W), in the order sent.

        Raises a `ServiceError` that names every image that is not acceptable.
        """
        found: list[Pixels | None] = []
        for index, upload in enumerate(uploads):
            if index % IMAGES_IN_A_ROW == IMAGES_IN_A_ROW - 1:
                await asyncio.sleep(0)
            found.append(self._small(upload, spec))
        others = [index for index, array in enumerate(found) if array is None]
        if others:
            decoded = await self._decode(uploads, others, _pixels_for(spec))
            for index in others:
                found[index] = decoded[index]
        return cast(list[Pixels], found)

    def decode_now(self, uploads: Sequence[EncodedImage], spec: InputSpec) -> list[Pixels] | None:
        """The same for `IMAGES_IN_A_ROW` images at most, if all are small, or for one quick JPEG.

        For others it is None. Raises a `ServiceError` for a JPEG that is not acceptable.
        """
        if len(uploads) > IMAGES_IN_A_ROW:
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

    def _quick(self, upload: EncodedImage, spec: InputSpec) -> Pixels:
        most = self._settings.max_image_pixels
        try:
            return _decoded(upload, _pixels_for(spec), most, checked=True)
        except ServiceError as error:
            raise _joined({0: error}, [upload]) from error

    def _small(self, upload: EncodedImage, spec: InputSpec) -> Pixels | None:
        """The pixels of a small plain picture, in less time than a thread takes to wake up."""
        if upload.media_type not in _PERHAPS_PNG:
            return None
        most = self._settings.max_image_pixels
        return preprocessing.read_small(upload.encoded, spec, max_pixels=most)

    def _is_quick_jpeg(self, upload: EncodedImage) -> bool:
        """True for a JPEG to decode on the event loop: on a single core, and small.

        The bytes before its first scan cost Pillow up to half a millisecond per kilobyte.
        """
        encoded = upload.encoded
        if self._threads > 1 or len(encoded) > QUICK_JPEG_BYTES or sniff(encoded) is not JPEG:
            return False
        frame = image_limits.only_frame(encoded)
        return (
            frame is not None
            and frame.width * frame.height <= self._quick_pixels
            and frame.components in (1, 3)
            and frame.head <= QUICK_JPEG_HEAD_BYTES
        )

    async def decode_with_original(
        self, uploads: Sequence[EncodedImage], spec: InputSpec
    ) -> list[DecodedImage]:
        """The same, with the images as they were sent."""

        def decode(encoded: bytes, formats: tuple[str, ...], max_pixels: int) -> DecodedImage:
            limits: dict[str, Any] = {"formats": formats, "max_pixels": max_pixels}
            image = preprocessing.decode(encoded, at_least=_ORIGINAL, **limits)
            if formats == (
                JPEG.pillow,
            ):  # of which the network may get one decoded at another size
                pixels = preprocessing.read(encoded, spec, **limits)
            else:
                pixels = spec.array(image)
            left, top, right, bottom = spec.box(image.size)
            box = left / image.width, top / image.height, right / image.width, bottom / image.height
            if max(image.size) > _ORIGINAL:
                shown = (_ORIGINAL, _ORIGINAL)
                image = ImageOps.contain(image, shown, Image.Resampling.BILINEAR)
            return DecodedImage(pixels, image, box)

        decoded = await self._decode(uploads, range(len(uploads)), decode)
        return list(decoded.values())

    async def _decode(
        self, uploads: Sequence[EncodedImage], places: Sequence[int], decode: Decode[Taken]
    ) -> dict[int, Taken]:
        """The results of `decode` for the uploads at these indices, on the threads."""
        settings = self._settings
        if self.waiting + len(places) > settings.max_queue_size:
            raise QueueFullError(
                f"{self.waiting} images wait to be decoded and {len(places)} more would pass "
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

        async def decoded(upload: EncodedImage) -> Taken:
            async with turns:
                if self._is_quick_jpeg(upload):
                    await asyncio.sleep(0)
                    return _decoded(upload, decode, most, checked=True)
                return await loop.run_in_executor(self._executor, _decoded, upload, decode, most)

        self.waiting += len(places)
        try:
            if len(places) == 1:  # which needs no task of its own
                outcomes = [await taken(places[0])]
            else:
                outcomes = await asyncio.gather(*map(taken, places))
        finally:
            self.waiting -= len(places)
        found = dict(zip(places, outcomes, strict=True))
        faults = {i: fault for i, fault in found.items() if isinstance(fault, Exception)}
        if faults:
            raise _joined(faults, uploads)
        return cast(dict[int, Taken], found)


def _pixels_for(spec: InputSpec) -> Decode[Pixels]:
    def decode(encoded: bytes, formats: tuple[str, ...], max_pixels: int) -> Pixels:
        return preprocessing.read(encoded, spec, formats=formats, max_pixels=max_pixels)

    return decode


def _decoded(
    upload: EncodedImage, decode: Decode[Taken], max_pixels: int, *, checked: bool = False
) -> Taken:
    """Decode one upload, and take what is wanted; raises the `ServiceError` that it deserves.

    One that was found quick has been `checked` already.
    """
    try:
        actual = _format(upload.encoded, upload.media_type)
        if not checked and (reason := actual.refusal(upload.encoded)):
            raise InvalidInputError(reason)
        return decode(upload.encoded, (actual.pillow,), max_pixels)
    except TooManyPixelsError as error:
        raise TooLargeError(f"{error} (setting max_image_pixels)") from error
    except ImageError as error:
        raise InvalidInputError(str(error)) from error


def _format(encoded: bytes, declared: str) -> ImageFormat:
    """What the bytes are, if that is taken and the client didn't say otherwise."""
    if not encoded:
        raise InvalidInputError("empty")
    actual = sniff(encoded)
    if declared not in (*served(), *_UNDECLARED) or (actual is None and declared in _UNDECLARED):
        said = f"the type is {declared}" if declared else "no type is given"
        raise UnsupportedTypeError(f"{said}, and taken are {taken()}")
    if actual is None or declared not in (actual.media_type, *_UNDECLARED):
        found = actual.media_type if actual else "not"
        raise InvalidInputError(f"said to be {declared}, but the bytes are {found}")
    return actual


def _joined(faults: Mapping[int, Exception], uploads: Sequence[EncodedImage]) -> Exception:
    """One error that names all bad images; unexpected exceptions go through as they are."""
    for fault in faults.values():
        if not isinstance(fault, ServiceError):
            return fault
    kinds = {type(fault) for fault in faults.values()}
    kind = cast(type[ServiceError], kinds.pop() if len(kinds) == 1 else InvalidInputError)
    problems = [
        ImageFault(index=index, filename=uploads[index].filename, reason=str(fault))
        for index, fault in faults.items()
    ]
    count = f"{len(problems)} of {len(uploads)} images" if len(uploads) > 1 else "the image"
    return kind(
        f"{count} can't be used, and nothing was predicted: "
        + "; ".join(f"image {p.index}: {p.reason}" for p in problems[:3])
        + ("; …" if len(problems) > 3 else ""),
        problems,
    )
