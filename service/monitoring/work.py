"""What a request is about and how long each part took: for its log line, headers and trace."""

from collections.abc import Callable, Iterator, MutableMapping
from time import perf_counter
from typing import Any

WORK = "fanlight.work"
"""Key of the ASGI scope for the request's `Work`, set once model and version are known."""
SPAN = "fanlight.span"
"""Key of the ASGI scope for the context of the request's span, if requests are traced."""


class Work:
    """The work on a request: sizes and times. Values that are not known yet are 0.

    `size` is that of the encoded images in bytes, `batch_size` that of the largest batch that they
    were in. `arrived` is the time of `perf_counter` when the whole body was there, `started` that
    when decoding begins. `receive` is the seconds before `started`, in which the body arrived. From
    `started` on, `decode`, `queue` and `forward` are the seconds of three stages that follow one
    another. `encoded` is called with the seconds from the end of `forward` until the answer is
    ready. `span` is the context of the request's span, to which the spans of its batches are
    linked.
    """

    __slots__ = (
        *("arrived", "batch_size", "begun", "decode", "encoded", "forward", "images", "model"),
        *("queue", "receive", "size", "span", "started", "version"),
    )
    encoded: Callable[[float], None] | None

    def __init__(self, model: str, version: int, span: Any = None) -> None:
        self.model, self.version, self.span = model, version, span
        self.images = self.size = self.batch_size = 0
        self.started = self.receive = self.decode = self.queue = self.forward = 0.0
        self.arrived = 0.0
        self.begun, self.encoded = perf_counter(), None

    def received(self, images: int, size: int) -> None:
        """Note that the images have arrived, `size` bytes together; decoding begins now."""
        self.images, self.size, self.started = images, size, perf_counter()
        self.receive = self.started - self.begun
        self.arrived = self.arrived or self.started

    def starts(self) -> None:
        """Note that decoding begins only now, because it had to wait for memory."""
        self.started = perf_counter()

    def failed(self) -> None:
        """Note that there will be no answer; the time since decoding was spent in the queue."""
        if self.decode and not self.queue:
            self.queue = perf_counter() - self.started - self.decode

    def decoded(self) -> None:
        """Note that the images are decoded."""
        self.decode = perf_counter() - self.started

    def ended(self, queue: float = 0.0, batch_size: int = 0) -> None:
        """Note that the network has answered, and the seconds that the request was queued.

        `batch_size` is that of the largest batch that its images were in.
        """
        self.queue, self.batch_size = queue, batch_size
        self.forward = perf_counter() - self.started - self.decode - queue

    @property
    def finished(self) -> float:
        """The time of `perf_counter` when the network had answered."""
        return self.started + self.decode + self.queue + self.forward

    def answered(self, now: float) -> None:
        """Tell `encoded` how long encoding took; `now` is a time of `perf_counter`."""
        if self.encoded is not None and self.forward:
            self.encoded(now - self.finished)

    def fields(self) -> Iterator[tuple[str, Any]]:
        """Names and values for a line of the log; what is unknown is left out."""
        yield "model", self.model
        yield "version", self.version
        if self.images:
            yield "images", self.images
            yield "bytes", self.size
        if self.batch_size:
            yield "batch_size", self.batch_size
        if self.decode:
            yield "decode_ms", round(1e3 * self.decode, 3)
        if self.queue or self.forward:
            yield "queue_ms", round(1e3 * self.queue, 3)
        if self.forward:
            yield "forward_ms", round(1e3 * self.forward, 3)


def begin(scope: MutableMapping[str, Any], model: str, version: int) -> Work:
    """Create the `Work` of a request, and store it in the request's ASGI scope.

    The scope may hold one already, from an earlier step of the same request. The new one takes over
    two of its times: when the request began, and when its body had arrived.
    """
    before: Work | None = scope.get(WORK)
    work = scope[WORK] = Work(model, version, scope.get(SPAN))
    if before is not None:
        work.begun, work.arrived = before.begun, before.arrived
    return work
