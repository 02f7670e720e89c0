"""Images of a request: uploads → pixels, or one error that lists all invalid images.

Headers are checked first, and all images are decoded before any is queued, so an invalid image
can't fail others in its batch. Small plain PNGs are decoded on the event loop, since that takes
less time than a switch to another process. Others go to processes (`service.images.decoders`): an
image that crashes its decoder, or takes too long, ends that process and gets an error. On a single
core, small JPEGs are decoded on the event loop too.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar, cast

import numpy as np
from PIL import Image

from models.images import decoding, scaling
from models.images.containers import jpeg
from models.images.formats import JPEG, ImageFormat, is_image_type, sniff, taken
from models.preprocessing import ImageError, InputSpec, Pixels, TooManyPixelsError
from service.errors import (
    ImageFault,
    InvalidInputError,
    QueueFullError,
    ServiceError,
    TooLargeError,
    UnavailableError,
    UnsupportedTypeError,
)
from service.images.decoder_process import BROKEN, NO_MEMORY, ORIGINAL, SHOWN, TOO_MANY, Job
from service.images.decoders import TOO_LONG, EndedError, Lane, Template
from service.images.encoded import EncodedImage
from service.process.event_loop import (
    FORM_BYTES,
    IMAGES_IN_A_ROW,
    QUICK_JPEG_BYTES,
    QUICK_JPEG_HEAD_BYTES,
    QUICK_JPEG_PIXELS,
    SMALL_BODY_BYTES,
)
from service.setting_values import units
from service.settings import Settings

Result = TypeVar("Result", Pixels, "DecodedImage")
LIGHT_WORK = 6_000_000  # pixels that decoding passes over, of an image that waits for light ones
LIGHT_BYTES = 2**21  # of such an image
LARGE_BYTES = 10_000_000  # for each of which a file may take `max_decode_time`
MEMORY_PER_PIXEL = 9  # bytes, of the network's input
MEMORY_PER_BYTE = 4  # bytes for each of the encoded image: copies
MEMORY = 24 * 2**20  # bytes, whatever the image
SECONDS, SECONDS_OF_HEAVY = 0.005, 0.1  # that an image takes, as long as none has been decoded
NICENESS, NICENESS_OF_HEAVY = 0, 5  # of the processes that decode light images, and others
_MARGIN = 0.01  # seconds; the kernel looks at a process's time every few milliseconds


@dataclass(frozen=True)
class DecodedImage:
    """An image as the network gets it, uint8 (C, H, W), and the upright original, made smaller.

    `box` is the part of the original that the network gets: left, top, right, bottom in fractions
    of its width and height.
    """

    pixels: Pixels
    original: Image.Image
    box: tuple[float, float, float, float]


class Decoder:
    """Decodes uploads under the limits of the settings, all but small ones in other processes.

    There are `processes` for images whose header promises little work, and as many for others. At
    most `max_queue_size` images may wait, and none for longer than `max_queue_wait`. Requests
    share the processes: however many images a request has, at most `processes` of them are being
    decoded at a time. Where several clients wait, their images get turns one after the other.
    """

    def __init__(self, settings: Settings, processes: int) -> None:
        self._settings = settings
        self._processes = processes
        self._quick_pixels = min(QUICK_JPEG_PIXELS, settings.max_image_pixels)
        # of a body that is perhaps decoded at once
        self.quick_bytes = SMALL_BODY_BYTES if processes > 1 else QUICK_JPEG_BYTES + FORM_BYTES
        self._template = Template()
        longest = settings.max_queue_wait
        self._light = Lane(self._template, processes, NICENESS, longest, SECONDS)
        self._heavy = Lane(self._template, processes, NICENESS_OF_HEAVY, longest, SECONDS_OF_HEAVY)
        self.waiting = 0  # images that wait to be decoded, or are being decoded

    def start(self) -> None:
        """Start the template process, so that the first image need not wait for that."""
        self._template.start()

    def close(self) -> None:
        """End the processes, and abort the jobs that they run."""
        self._light.close()
        self._heavy.close()
        self._template.close()

    async def pixels(
        self, uploads: Sequence[EncodedImage], spec: InputSpec, client: str | None = None
    ) -> list[Pixels]:
        """Decode images to the network's input, uint8 (C, H, W), in the order sent.

        `client` is the name of the sender's API key, or else its address: where several clients
        wait, each gets its share. Raises a `ServiceError` that names every image that is not
        acceptable.
        """
        found: list[Pixels | None] = []
        for index, upload in enumerate(uploads):
            if index % IMAGES_IN_A_ROW == IMAGES_IN_A_ROW - 1:
                await asyncio.sleep(0)
            found.append(self._small(upload, spec))
        others = [index for index, array in enumerate(found) if array is None]
        if others:
            decoded = await self._decode(uploads, others, partial(self._pixels, spec, client))
            for index in others:
                found[index] = decoded[index]
        return cast(list[Pixels], found)

    def decode_now(self, uploads: Sequence[EncodedImage], spec: InputSpec) -> list[Pixels] | None:
        """Decode images as `pixels` does, but without waiting; return None if that would take long.

        Takes at most `IMAGES_IN_A_ROW` small plain PNGs, or one quick JPEG. Raises a `ServiceError`
        for a JPEG that is not acceptable.
        """
        if len(uploads) > IMAGES_IN_A_ROW:
            return None
        found = []
        for upload in uploads:
            pixels = self._small(upload, spec)
            if pixels is None:
                if len(uploads) > 1 or not self._is_quick_jpeg(upload, spec):
                    return None
                pixels = self._quick(upload, spec)
            found.append(pixels)
        return found

    def _quick(self, upload: EncodedImage, spec: InputSpec) -> Pixels:
        try:
            return self._read(upload, spec)
        except ServiceError as error:
            raise _joined({0: error}, [upload]) from error

    def _read(self, upload: EncodedImage, spec: InputSpec) -> Pixels:
        """Decode one image in this process; raise a `ServiceError` for this image alone."""
        try:
            formats = (_format(upload).pillow,)
            most = self._settings.max_image_pixels
            return decoding.read(upload.encoded, spec, formats=formats, max_pixels=most)
        except TooManyPixelsError as error:
            raise _too_many(str(error)) from error
        except ImageError as error:
            raise InvalidInputError(str(error)) from error

    def _small(self, upload: EncodedImage, spec: InputSpec) -> Pixels | None:
        """Decode a small plain PNG here, faster than a switch to a process; None for others."""
        most = self._settings.max_image_pixels
        return decoding.read_small(upload.encoded, spec, max_pixels=most)

    def _is_quick_jpeg(self, upload: EncodedImage, spec: InputSpec) -> bool:
        """Return whether to decode a JPEG on the event loop: a small one, and on a single core.

        False if the network has a framing rule: finding the subject takes longer than decoding. The
        size of the header is limited too, since Pillow takes up to half a millisecond for each
        kilobyte before the first scan.
        """
        encoded = upload.encoded
        if (
            spec.framing
            or self._processes > 1
            or len(encoded) > QUICK_JPEG_BYTES
            or sniff(encoded) is not JPEG
        ):
            return False
        frame = jpeg.only_frame(encoded)
        return (
            frame is not None
            and frame.width * frame.height <= self._quick_pixels
            and frame.components in (1, 3)
            and frame.head <= QUICK_JPEG_HEAD_BYTES
        )

    async def decode_with_original(
        self,
        uploads: Sequence[EncodedImage],
        spec: InputSpec,
        longest: int = ORIGINAL,
        *,
        fits: bool = False,
        client: str | None = None,
    ) -> list[DecodedImage]:
        """Decode images to the network's input, each with its original, in the order sent.

        The longer side of an original has at most `longest` pixels; with `fits` it may have more,
        so that the input has room in the image. Raises a `ServiceError` that names every image that
        is not acceptable.
        """
        decode = partial(self._with_original, spec, longest, fits, client)
        decoded = await self._decode(uploads, range(len(uploads)), decode)
        return list(decoded.values())

    async def _decode(
        self,
        uploads: Sequence[EncodedImage],
        places: Sequence[int],
        decode: Callable[[EncodedImage], Awaitable[Result]],
    ) -> dict[int, Result]:
        """Call `decode` for the uploads with these indices; return the results by index.

        Raises `QueueFullError` if too many images wait, or one error that names all invalid images.
        """
        settings = self._settings
        if self.waiting + len(places) > settings.max_queue_size:
            raise QueueFullError(
                f"{self.waiting} images wait to be decoded and {len(places)} more would pass "
                f"the limit of {settings.max_queue_size} (setting max_queue_size); "
                "try again in a second"
            )
        turns = asyncio.Semaphore(self._processes)
        refused: QueueFullError | None = None  # then the others need not be decoded either

        async def outcome(place: int) -> Result | Exception:
            nonlocal refused
            try:
                async with turns:
                    return refused or await decode(uploads[place])
            except QueueFullError as error:
                refused = error
                return error
            except Exception as error:
                return error

        self.waiting += len(places)
        try:
            if len(places) == 1:  # which needs no task of its own
                outcomes = [await outcome(places[0])]
            else:
                outcomes = await asyncio.gather(*map(outcome, places))
        finally:
            self.waiting -= len(places)
        found = dict(zip(places, outcomes, strict=True))
        faults = {i: fault for i, fault in found.items() if isinstance(fault, Exception)}
        try:
            if faults:
                raise _joined(faults, uploads)
            return cast(dict[int, Result], found)
        finally:  # the traceback of a fault leads to this frame: in a cycle they would stay
            del outcomes, found, faults

    async def _pixels(self, spec: InputSpec, client: str | None, upload: EncodedImage) -> Pixels:
        if self._is_quick_jpeg(upload, spec):
            await asyncio.sleep(0)
            return self._read(upload, spec)
        content = await self._ask(upload, spec, client)
        return _unpacked(content, spec)

    async def _with_original(
        self, spec: InputSpec, longest: int, fits: bool, client: str | None, upload: EncodedImage
    ) -> DecodedImage:
        content = await self._ask(upload, spec, client, original=longest, fits=fits)
        size = spec.channels * spec.height * spec.width
        pixels = _unpacked(content, spec)
        *box, width, height = SHOWN.unpack_from(content, size)
        shown = content[size + SHOWN.size :]
        mode = "L" if len(shown) == width * height else "RGB"
        original = Image.frombytes(mode, (width, height), shown)
        return DecodedImage(pixels, original, cast(scaling.Box, tuple(box)))

    async def _ask(
        self,
        upload: EncodedImage,
        spec: InputSpec,
        client: str | None,
        *,
        original: int = 0,
        fits: bool = False,
    ) -> bytes:
        """Decode an image in another process under limits; return the content of the answer.

        Raises the `ServiceError` that says what is wrong with the image.
        """
        actual = _format(upload)
        claim = actual.claim(upload.encoded)
        most = self._settings.max_image_pixels
        seconds = self._seconds(actual, len(upload.encoded))
        pixels = most if claim is None else min(claim.pixels, most)
        scaled = spec.height * spec.width  # whatever the resize_size: only the part is computed
        memory = MEMORY + actual.memory * pixels + MEMORY_PER_PIXEL * scaled
        memory += MEMORY_PER_BYTE * len(upload.encoded)
        is_light = (
            claim is not None and claim.work <= LIGHT_WORK and len(upload.encoded) <= LIGHT_BYTES
        )
        lane = self._light if is_light else self._heavy
        job = Job(
            original,
            (actual.pillow,),
            most,
            scaling.Frame.of(spec).packed,
            max(seconds - _MARGIN, seconds / 2),
            memory,
            fits,
        )
        try:
            kind, content = await lane.run(job, upload.encoded, client)
        except EndedError as error:
            raise _of_end(error, upload.encoded, seconds) from error
        if kind == TOO_MANY:
            raise _too_many(content.decode())
        if kind == BROKEN:
            raise InvalidInputError(content.decode())
        if kind == NO_MEMORY:
            raise InvalidInputError(
                f"needs more than {actual.memory} bytes of memory a pixel to decode; "
                "send it smaller, or as a JPEG"
            )
        return content

    def _seconds(self, format: ImageFormat, size: int) -> float:
        """Return the seconds of processor time that a file of `size` bytes may take.

        Decoders spend it on bytes as well as on pixels: libjpeg needs about 10 ms for each million
        bytes of Huffman codes, at any scale.
        """
        return self._settings.max_decode_time * max(format.time, size / LARGE_BYTES)


def _unpacked(content: bytes, spec: InputSpec) -> Pixels:
    size = spec.channels * spec.height * spec.width
    lines = np.frombuffer(content, np.uint8, size).reshape(spec.height, spec.width, spec.channels)
    return lines.transpose(2, 0, 1)


def _too_many(reason: str) -> TooLargeError:
    return TooLargeError(f"{reason} (setting max_image_pixels)")


def _of_end(end: EndedError, encoded: bytes, seconds: float) -> ServiceError:
    """Return the error for an image whose decoder process ended during its job.

    A crash or too much processor time is the image's own fault, and would happen again. What the
    system or a busy machine did may not.
    """
    if end.code == TOO_LONG:
        size = decoding.size(encoded)
        pixels = f"{size[0]} × {size[1]} pixels in " if size else ""
        is_baseline = sniff(encoded) is JPEG and jpeg.only_frame(encoded) is not None
        return InvalidInputError(
            f"{pixels}{len(encoded):,} bytes take more than "
            f"{units.show_seconds(round(seconds, 2))} of processor time to "
            "decode (setting max_decode_time); send it with fewer pixels, or "
            + ("at a lower quality" if is_baseline else "as a baseline JPEG")
        )
    if end.late:
        return UnavailableError(
            "decoding took too long, since the machine is busy; try again in a second"
        )
    if end.code is None or end.code == -signal.SIGKILL:
        return UnavailableError(
            "the system ended the process that decoded the image, perhaps for want of memory; "
            "try again in a second"
        )
    how = f"signal {-end.code}" if end.code < 0 else f"exit code {end.code}"
    return InvalidInputError(
        f"corrupt: its decoder crashed ({how}); save it anew, in another format"
    )


def _format(upload: EncodedImage) -> ImageFormat:
    """Return the format that the bytes have, whatever type the client declared.

    Raises `InvalidInputError` or `UnsupportedTypeError` for anything but an image that can be
    decoded.
    """
    encoded, declared, _, fault = upload
    if fault is not None:
        raise InvalidInputError(fault)
    if not encoded:
        raise InvalidInputError("empty: it has no bytes; send those of an image file")
    actual = sniff(encoded)
    if actual is None and is_image_type(declared):
        raise InvalidInputError(
            f"said to be {declared}, but the bytes are not; taken are {taken()}"
        )
    if actual is None:
        said = f"the type is {declared}, and " if declared else ""
        raise UnsupportedTypeError(
            f"{said}the bytes are no image that is taken; taken are {taken()}"
        )
    try:
        actual.prepare()
    except ImageError as error:
        raise UnsupportedTypeError(str(error)) from error
    return actual


def _joined(faults: Mapping[int, Exception], uploads: Sequence[EncodedImage]) -> Exception:
    """Return one error that names all invalid images, or the first unexpected exception itself.

    An image that was refused because others wait is not invalid: if there are no invalid ones, its
    error is returned itself.
    """
    for fault in faults.values():
        if not isinstance(fault, ServiceError):
            return fault
    invalid = {i: fault for i, fault in faults.items() if not isinstance(fault, QueueFullError)}
    if not invalid:
        return next(iter(faults.values()))
    faults = invalid
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
