"""The processes that decode: bytes of strangers → pixels, where a crash or a long run hurts nobody.

    service → template: "start" with one end of a socket pair → fork → decoder on that socket
    service → decoder: a job and an encoded image → decoder → pixels, or what is wrong

The template has imported what decoding needs (Pillow and numpy, not torch), has one thread and
decodes nothing, so a fork of it is safe and takes some milliseconds. It tells the service how each
decoder ended. A decoder runs one job at a time under two limits of the kernel: processor time,
after which SIGPROF ends it, and address space. When the service is gone, the template and the
decoders find the ends of their sockets closed, and end.

`service.images.decoders` is the other side.
"""

import gc
import marshal
import math
import os
import resource
import select
import signal
import socket
import struct
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from models.errors import ImageError, TooManyPixelsError
from models.images import decoding
from models.images.decoding import Box, Frame, Framing, Pixels
from models.images.formats import FORMATS

START, KILL = b"s", b"k"  # commands to the template
COMMAND = struct.Struct("<ci")  # with the niceness, or the process to kill
ENDED = struct.Struct("<ii")  # a process and its exit code, negative for a signal
FAILED = -1  # in place of a process that could not be started, with its errno
PID = struct.Struct("<i")  # the first that a decoder says
JOB = struct.Struct("<IQ")  # sizes of the job and of the encoded image, which follow
ANSWER = struct.Struct("<BI")  # kind and size of what follows
SHOWN = struct.Struct("<4dII")  # box, width and height of an original; L or RGB, by its size
PIXELS, WITH_ORIGINAL, BROKEN, TOO_MANY, NO_MEMORY = range(5)  # kinds of answers
ORIGINAL = 512  # pixels of the longer side that is kept of an image as it was sent, by default
MAX_ORIGINAL = 2**20  # pixels that are kept where a frame is to fit in
SEND_BUFFER = 2**20  # bytes; the kernel may give less
_OPEN_FILES = 16
_PAGE = resource.getpagesize()


class Job(NamedTuple):
    """What to do with an encoded image.

    `original` is how many pixels of its longer side are kept of the image as it was sent, 0 if it
    is not wanted; with `fits` a long image keeps more (see `longer_side`). `formats` are
    Pillow's names. `seconds` of processor time and `memory` in bytes, beyond what the process has,
    are its limits.
    """

    original: int
    formats: tuple[str, ...]
    max_pixels: int
    to: tuple[Any, ...]  # a packed `Frame`
    seconds: float
    memory: int
    fits: bool = False


def template(control: socket.socket) -> None:
    """Start decoders as the service commands, until it closes the socket; then end them all."""
    warnings.simplefilter("ignore")  # about files of strangers, which would fill the log
    Image.init()  # imports the plugins of all formats, before there are copies of this process
    for format in FORMATS:
        with suppress(ImageError):  # a package is missing, which the service has told
            format.prepare()
    gc.collect()
    gc.freeze()
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: set[int] = set()
    with suppress(ConnectionError):  # the service was killed
        _obey(control, children, (wake, woken))
    for child in children:
        os.kill(child, signal.SIGKILL)


def _obey(control: socket.socket, children: set[int], pipe: tuple[int, int]) -> None:
    wake, woken = pipe
    while True:
        ready, _, _ = select.select([control.fileno(), wake], [], [])
        if wake in ready:
            os.read(wake, 4096)
            _report(control, children)
        if control.fileno() in ready:
            command, fds, _, _ = socket.recv_fds(control, COMMAND.size, 1)
            if not command:
                return
            kind, number = COMMAND.unpack(command)
            if kind == START:
                _start(control, children, socket.socket(fileno=fds[0]), number, (wake, woken))
            elif number in children:  # not another process that got its number since
                os.kill(number, signal.SIGKILL)


def _start(
    control: socket.socket,
    children: set[int],
    connection: socket.socket,
    niceness: int,
    pipe: tuple[int, int],
) -> None:
    with connection:
        try:
            child = os.fork()
        except OSError as error:  # too many processes, or no memory
            control.sendall(ENDED.pack(FAILED, error.errno or 0))
            return
        if child:
            children.add(child)
            return
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        control.close()
        for each in pipe:
            os.close(each)
        _silence_libraries()
        try:
            os.nice(niceness)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
            decoder(connection)
        except ConnectionError:  # the service was killed
            os._exit(0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)


def _silence_libraries() -> None:
    """Give the standard error to Python alone: libtiff writes a line there for each broken file."""
    own, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    os.close(nothing)
    sys.stderr = os.fdopen(own, "w", buffering=1)


def _report(control: socket.socket, children: set[int]) -> None:
    """Tell the service which decoders have ended, and how."""
    while children:
        child, status = os.waitpid(-1, os.WNOHANG)
        if not child:
            return
        children.discard(child)
        control.sendall(ENDED.pack(child, os.waitstatus_to_exitcode(status)))


def decoder(connection: socket.socket) -> None:
    """Do jobs until the service closes the socket."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    connection.sendall(PID.pack(os.getpid()))
    while len(head := connection.recv(JOB.size, socket.MSG_WAITALL)) == JOB.size:
        job_size, size = JOB.unpack(head)
        job = Job(*marshal.loads(connection.recv(job_size, socket.MSG_WAITALL)))  # noqa: S302 (of the service)
        encoded = connection.recv(size, socket.MSG_WAITALL)
        if len(encoded) < size:
            return
        kind, content = limited(job, encoded)
        del encoded
        connection.sendall(ANSWER.pack(kind, len(content)) + content)


def limited(job: Job, encoded: bytes) -> tuple[int, bytes]:
    """The answer to a job, under its limits: kind and content."""
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    if held := _address_space():
        resource.setrlimit(resource.RLIMIT_AS, (held + job.memory, most))
    signal.setitimer(signal.ITIMER_PROF, job.seconds)
    try:
        return answer(job, encoded)
    except MemoryError:
        return NO_MEMORY, b""
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        if held:
            resource.setrlimit(resource.RLIMIT_AS, (most, most))


def answer(job: Job, encoded: bytes) -> tuple[int, bytes]:
    """The same without limits."""
    to = Frame.unpacked(job.to)
    try:
        if not job.original:
            pixels = decoding.read(encoded, to, formats=job.formats, max_pixels=job.max_pixels)
            return PIXELS, _packed(pixels)
        kept = with_original(encoded, to, job.formats, job.max_pixels, job.original, fits=job.fits)
    except TooManyPixelsError as error:
        return TOO_MANY, str(error).encode()
    except ImageError as error:
        return BROKEN, str(error).encode()
    pixels, original, box = kept
    shown = SHOWN.pack(*box, *original.size) + original.tobytes()
    return WITH_ORIGINAL, _packed(pixels) + shown


def _packed(pixels: Pixels) -> bytes:
    """(H, W, C), as it lies in memory already."""
    return pixels.transpose(1, 2, 0).tobytes()


def with_original(
    encoded: bytes,
    to: Frame,
    formats: tuple[str, ...],
    max_pixels: int,
    longest: int,
    *,
    fits: bool = False,
) -> tuple[Pixels, Image.Image, Box]:
    """The network's input, the image as it was sent, with a longer side of at most `longest`
    pixels, and the part of it that the network gets, in fractions of its width and height.

    With `fits` a long image may have a longer side: see `longer_side`.
    """
    image = decoding.decode_for(encoded, to, formats=formats, max_pixels=max_pixels)
    pixels, (left, top, right, bottom) = decoding.scaled_with_box(image, to)
    box = left / image.width, top / image.height, right / image.width, bottom / image.height
    kept = longer_side(image.size, to, longest) if fits else float(longest)
    if formats == ("JPEG",) and max(image.size) < longest:  # decoded too small to be shown
        image = decoding.decode(encoded, formats=formats, max_pixels=max_pixels, at_least=longest)
    if max(image.size) > kept:
        width, height = (max(1, round(side * kept / max(image.size))) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return pixels, image, box


def longer_side(size: tuple[int, int], to: Framing, longest: int) -> float:
    """The most pixels that the longer side of an image is kept with.

    That is `longest`. A long image, whose width and height are `size`, keeps more: enough for its
    shorter side to hold the frame `to`, while the whole has no more than `MAX_ORIGINAL` pixels.
    """
    width, height = size
    fitting = max(to.width / width, to.height / height)
    return max(longest, max(size) * min(fitting, math.sqrt(MAX_ORIGINAL / (width * height))))


def _address_space() -> int:
    """Bytes that this process has mapped, 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split(None, 1)[0]) * _PAGE
    except OSError:
        return 0


if __name__ == "__main__":
    template(socket.socket(fileno=int(sys.argv[1])))
