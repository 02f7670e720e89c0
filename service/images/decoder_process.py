"""Decoder processes: untrusted bytes → pixels, where a crash or a long run harms nothing else.

    service → template: "start" with one end of a socket pair → fork → decoder on that socket
    service → decoder: a job and an encoded image → decoder → pixels, or what is wrong

The template has imported what decoding needs (Pillow and numpy, not torch), has one thread and
decodes nothing, so forking it is safe and takes some milliseconds. It reports to the service how
each decoder ended. A decoder runs one job at a time under two limits of the kernel: processor time,
after which SIGPROF ends it, and address space. When the service ends, the template and the decoders
find their sockets closed, and end too.

`service.images.decoders` is the service's side.
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
from models.images import decoding, scaling
from models.images.formats import FORMATS
from models.images.scaling import Box, Frame, Framing, Pixels

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
    """What to do with an encoded image, and under which limits.

    `original` is the largest length, in pixels, of the longer side of the original, which is
    returned too; 0 leaves it out. With `fits` the original of a long image may be larger (see
    `longer_side`). `formats` are Pillow's names. The limits are `max_pixels` of the image,
    `seconds` of processor time, and `memory` in bytes beyond what the process already has.
    """

    original: int
    formats: tuple[str, ...]
    max_pixels: int
    to: tuple[Any, ...]  # a packed `Frame`
    seconds: float
    memory: int
    fits: bool = False


def template(control: socket.socket) -> None:
    """Run the template: fork decoders on command until the service closes the socket, then kill
    them."""
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
    """Keep C libraries from writing to the standard error; Python still can.

    libtiff writes a line there for each broken file.
    """
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
    """Run jobs from the socket until the service closes it."""
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
    """Run a job under its limits of memory and time; return the kind and content of the answer."""
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
    """Run a job without limits; return the kind and content of the answer."""
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
    """Return pixels (C, H, W) as bytes in the order (H, W, C), in which memory has them already."""
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
    """Decode an image to the network's input; return it with the original and its box.

    The original is the whole image with a longer side of at most `longest` pixels; with `fits` that
    of a long image may be larger (see `longer_side`). The box is the part of it that the network
    gets: left, top, right, bottom in fractions of its width and height.
    """
    image = decoding.decode_for(encoded, to, formats=formats, max_pixels=max_pixels)
    pixels, (left, top, right, bottom) = scaling.scaled_with_box(image, to)
    box = left / image.width, top / image.height, right / image.width, bottom / image.height
    kept = longer_side(image.size, to, longest) if fits else float(longest)
    if formats == ("JPEG",) and max(image.size) < longest:  # decoded too small to be shown
        image = decoding.decode(encoded, formats=formats, max_pixels=max_pixels, at_least=longest)
    if max(image.size) > kept:
        width, height = (max(1, round(side * kept / max(image.size))) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return pixels, image, box


def longer_side(size: tuple[int, int], to: Framing, longest: int) -> float:
    """Return the most pixels that the longer side of an original may have.

    That is `longest`, but more for a long image of `size` (width, height): enough for its shorter
    side to hold the frame `to`, while the whole has no more than `MAX_ORIGINAL` pixels.
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
