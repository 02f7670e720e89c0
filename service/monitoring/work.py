"""What a request is about and how long each part took: for its log line, headers and trace."""

from collections.abc import Callable, Iterator, MutableMapping
from time import perf_counter
from typing import Any

WORK = "fanlight.work"
"""Where the scope of a request has its `Work`, once model and version are known."""
SPAN = "fanlight.span"
"""Where the scope has the context of the request's span, if requests are traced."""


class Work:
    """The work on a request; what is not known yet is 0.

    `size` is that of the encoded images in bytes, `batch_size` that of the largest batch that they
    were in. `started` is the time of `perf_counter` when decoding begins; `decode`, `queue` and
    `forward` are the seconds that follow one another from then on, and `receive` those before, in
    which the body arrived. `encoded` gets the seconds until the answer is ready. `span` is the
    context of the request's span, to which the spans of its batches are linked.
    """

    __slots__ = (
        *("batch_size", "begun", "decode", "encoded", "forward", "images", "model", "queue"),
        *("receive", "size", "span", "started", "version"),
    )
    encoded: Callable[[float], None] | None

    def __init__(self, model: str, version: int, span: Any = None) -> None:
        self.model, self.version, self.span = model, version, span
        self.images = self.size = self.batch_size = 0
        self.started = self.receive = self.decode = self.queue = self.forward = 0.0
        self.begun, self.encoded = perf_counter(), None

    def received(self, images: int, size: int) -> None:
        """So many images of so many bytes are there, and are decoded from now on."""
        self.images, self.size, self.started = images, size, perf_counter()
        self.receive = self.started - self.begun

    def starts(self) -> None:
        """Decoding begins only now: there was no room before."""
        self.started = perf_counter()

    def failed(self) -> None:
        """There is no answer; what was not decoding was waiting."""
        if self.decode and not self.queue:
            self.queue = perf_counter() - self.started - self.decode

    def decoded(self) -> None:
        """The images are decoded; waiting or computing begins."""
        self.decode = perf_counter() - self.started

    def ended(self, queue: float = 0.0, batch_size: int = 0) -> None:
        """The network has answered, after so many seconds in the queue."""
        self.queue, self.batch_size = queue, batch_size
        self.forward = perf_counter() - self.started - self.decode - queue

    def answered(self, now: float) -> None:
        """The answer is ready at that time of `perf_counter`."""
        if self.encoded is not None and self.forward:
            self.encoded(now - self.started - self.decode - self.queue - self.forward)

    def fields(self) -> Iterator[tuple[str, Any]]:
        """What is known, for a line of the log; times are in milliseconds."""
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
    """The work on the request of this scope, on that version of a model.

    Where it had begun already, the time since then is that of receiving.
    """
    before: Work | None = scope.get(WORK)
    work = scope[WORK] = Work(model, version, scope.get(SPAN))
    if before is not None:
        work.begun = before.begun
    return work
