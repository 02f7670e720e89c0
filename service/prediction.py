"""The one way to a prediction: API key → version → images → decode → queue → results → doubts.

Every door (the fast path, the FastAPI route, …) calls `Predictor.predict`. A door differs only in
how images arrive, and in how it waits for threads and for the batcher; see `Door`.
"""

from asyncio import CancelledError
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple, Protocol, Self

from models.checkpoint import Card
from models.preprocessing import InputSpec, Pixels
from service.access.gate import CALLER, Gate
from service.errors import ImageFault, QueueFullError, ServiceError, UnanswerableError
from service.images.decoding import Decoder
from service.images.encoded import EncodedImage
from service.inference import doubt
from service.inference.batcher import Batcher, BatchFailedError, Queued
from service.inference.doubt import Doubt
from service.inference.engine import NOT_FINITE, NotFiniteError, PredictionResult
from service.monitoring.work import begin
from service.repository.repository import Repository
from service.settings import Settings


class Door(Protocol):
    """How one request gets in, and how it waits.

    Leaving its `with` block ends its deadline. Where the work was cancelled because the deadline
    had passed or the client had left, leaving raises that reason.
    """

    client: str
    """The address that the request came from. Clients with an API key are told apart by that."""

    waited: float
    """Seconds that the request lay unread in its socket; 0 if nobody knows."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: object, /
    ) -> None: ...

    async def receive(self) -> Sequence[EncodedImage]:
        """The images of the request, within its deadline."""
        ...

    async def decode(
        self, decoder: Decoder, images: Sequence[EncodedImage], spec: InputSpec
    ) -> list[Pixels]:
        """Decode the images and scale each to the network's input, uint8 (C, H, W)."""
        ...

    async def wait(self, queued: Queued[Pixels, PredictionResult]) -> list[PredictionResult]:
        """The results, once the batcher has all of them."""
        ...


SHORT_WAIT_SECONDS = 0.02  # a queue that takes no longer needs no look before images are decoded


class Asked(doubt.Asked, Protocol):
    """What a request asks for."""

    @property
    def version(self) -> int | None:
        """The version that is asked; None asks the highest that is ready."""
        ...


class Predicted(NamedTuple):
    """The card of the version, and the results for the images of a request in the order sent.

    `doubts` and `warnings` are those of the results, None where the request or the card has no use
    for them.
    """

    card: Card
    results: Sequence[PredictionResult]
    doubts: Sequence[Doubt] | None = None
    warnings: Sequence[Sequence[str]] | None = None


@dataclass(frozen=True)
class Predictor:
    """Predicts with the models of a repository."""

    settings: Settings
    repository: Repository
    decoder: Decoder
    gate: Gate | None  # None where every request may pass

    async def predict(
        self,
        scope: MutableMapping[str, Any],
        model: str,
        asked: Asked,
        door: Door,
    ) -> Predicted:
        """Predict the images of one request.

        `scope` is that of ASGI: the gate reads its headers and the client's address, and the work
        is noted there (`service.monitoring.work`).
        All images are decoded before any is queued, so that a bad one fails no other request.
        A request that would wait too long is refused before its body is received. Raises a
        `ServiceError`. Whatever ends this early (an error, a cancellation) takes the request's
        images out of the queue.
        """
        client = door.client
        if self.gate is not None:
            self.gate.check(scope)
            client = scope.get(CALLER) or client
        serving = self.repository.get(model, asked.version)
        card, batcher = serving.checkpoint.card, serving.batcher
        work = begin(scope, card.name, card.version)
        judge = doubt.judge(card, serving.judge, asked)
        wait = batcher.waiting * batcher.seconds_per_item
        if wait > SHORT_WAIT_SECONDS or door.waited > SHORT_WAIT_SECONDS:
            self.check_wait(batcher, client, door.waited)
        with serving.lease, door:
            images = await door.receive()
            work.received(len(images), sum(len(image.encoded) for image in images))
            queued = None
            try:
                batcher.check_room(len(images), client)
                pixels = await door.decode(self.decoder, images, card.input)
                work.decoded()
                queued = batcher.enqueue(pixels, client, work)
                results = await door.wait(queued)
            except BaseException as error:
                if queued is not None:
                    batcher.withdraw(queued)
                    work.failed()
                if isinstance(error, ServiceError | CancelledError):  # others are for another door
                    serving.statistics.failed.add(perf_counter() - work.started)
                if isinstance(error, BatchFailedError):
                    raise refusal(error, card, images) from error
                raise
            work.ended(queued.waited, max(result.batch_size for result in results))
            serving.statistics.succeeded(work)
            if judge is None:
                return Predicted(card, results)
            doubts = judge.doubts(results)
            unsure = [doubt.why is not None for doubt in doubts]
            return Predicted(card, results, doubts, serving.unlike.warnings(images, pixels, unsure))

    def check_wait(
        self, batcher: Batcher[Pixels, PredictionResult], client: str, waited: float = 0.0
    ) -> None:
        """Raise `QueueFullError` if the queue is full, or if its answer would come too late.

        It comes too late if the queue takes longer than `max_queue_wait`, or if the request has
        `waited` in its socket for longer than a full queue takes, in seconds: then others are
        fresher.
        (Nichols and Jacobson, "Controlling queue delay", 2012, on time in place of length.)
        """
        batcher.check_room(1, client)
        wait = batcher.waiting * batcher.seconds_per_item
        if wait > self.settings.max_queue_wait:
            raise QueueFullError(
                f"the images in the queue of this model take {wait:.1f} s, more than "
                f"{self.settings.max_queue_wait:g} s (setting max_queue_wait); try again later"
            )
        full = self.settings.max_queue_size * batcher.seconds_per_item
        if batcher.waiting and waited > full:
            raise QueueFullError(
                "the server was too busy to read this request in time; try again in a second"
            )


def refusal(error: BatchFailedError, card: Card, images: Sequence[EncodedImage]) -> ServiceError:
    """What the client gets for a batch that failed: which images have no finite answer.

    It is the error itself, a 500, if anything else went wrong.
    """
    if not all(isinstance(each, NotFiniteError) for each in error.failed.values()):
        return error
    return unanswerable(card, {index: images[index].filename for index in error.failed})


def unanswerable(card: Card, filenames: Mapping[int, str]) -> UnanswerableError:
    """The error for images, by their place in the request, that have no finite answer."""
    faults = [ImageFault(index, name, NOT_FINITE) for index, name in filenames.items()]
    return UnanswerableError(
        f"{card.name}/{card.version} gives no finite number for image "
        f"{', '.join(map(str, filenames))} of the request, counted from 0, and nothing was "
        "predicted; leave these images out, or ask another version",
        faults,
    )
