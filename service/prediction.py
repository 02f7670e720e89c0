"""The one way to a prediction: API key → version → images → decode → queue → results → doubts.

Every door (the fast path, the FastAPI route, …) calls `Predictor.predict`. A door differs only in
how images arrive, and in how it waits for threads and for the batcher; see `Door`.
"""

from asyncio import CancelledError
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
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
from service.monitoring.work import Work, begin
from service.repository.loading import ServingModel
from service.repository.repository import Repository
from service.setting_values.units import show_seconds
from service.settings import Settings


class Door(Protocol):
    """How one request enters: how its images arrive, and how it waits for decoder and batcher.

    Leaving its `with` block ends its deadline. If the work was cancelled because the deadline had
    passed or the client had left, leaving the block raises the `ServiceError` that says so.
    """

    client: str
    """Whose request it is: an address. The name of an API key is used in its place."""

    waited: float
    """Seconds that the request lay unread in its socket; 0 if nobody knows."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: object, /
    ) -> None: ...

    async def receive(self) -> Sequence[EncodedImage]:
        """Receive the images of the request, within its deadline."""
        ...

    async def decode(
        self, decoder: Decoder, images: Sequence[EncodedImage], spec: InputSpec
    ) -> list[Pixels]:
        """Decode the images and scale each to the network's input, uint8 (C, H, W)."""
        ...

    async def wait(self, queued: Queued[Pixels, PredictionResult]) -> list[PredictionResult]:
        """Wait until the batcher has all results, and return them."""
        ...


_ENCODED, _BATCH_SIZE = attrgetter("encoded"), attrgetter("batch_size")
SHORT_WAIT_SECONDS = 0.02  # a queue that takes no longer needs no look before images are decoded


class Asked(doubt.Asked, Protocol):
    """The parameters of a request for predictions."""

    @property
    def version(self) -> int | None:
        """The version to ask; None for the highest one that is ready."""
        ...


class Predicted(NamedTuple):
    """The results for the images of a request, in the order sent, and the card of the version.

    `doubts` has an entry for each result, or is None if the request or the card excludes doubts.
    `warnings` has a list of sentences for each result, or is None if there are no warnings.
    `batch_size` is that of the largest batch that an image was in.
    """

    card: Card
    results: Sequence[PredictionResult]
    batch_size: int
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
        """Predict the images of one request; raise a `ServiceError` if that fails.

        `scope` is the ASGI scope: the gate reads the headers and the client's address from it, and
        the `Work` of the request is stored in it (`service.monitoring.work`). All images are
        decoded before any is queued, so that a bad one fails no other request. A request that would
        wait too long is refused before its body is received. On an error or a cancellation, the
        request's images leave the queue.
        """
        serving, client, work = self.admit(scope, model, asked.version, door.client, door.waited)
        card, batcher = serving.checkpoint.card, serving.batcher
        judge = doubt.judge(card, serving.judge, asked)
        with serving.lease, door:
            images = await door.receive()
            work.received(len(images), sum(map(len, map(_ENCODED, images))))
            queued = None
            try:
                batcher.check_room(len(images), client)
                serving.statistics.decoding += len(images)
                try:
                    pixels = await door.decode(self.decoder, images, card.input)
                finally:
                    serving.statistics.decoding -= len(images)
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
            batch_size = max(map(_BATCH_SIZE, results))
            work.ended(queued.waited, batch_size)
            serving.statistics.succeeded(work)
            if judge is None:
                return Predicted(card, results, batch_size)
            doubts = judge.doubts(results)
            unsure = [doubt.why is not None for doubt in doubts]
            warnings = serving.unlike.warnings(images, pixels, unsure)
            return Predicted(card, results, batch_size, doubts, warnings)

    def admit(
        self,
        scope: MutableMapping[str, Any],
        model: str,
        version: int | None,
        client: str,
        waited: float = 0.0,
    ) -> tuple[ServingModel, str, Work]:
        """Admit a request before its body is received; raise a `ServiceError` to refuse it.

        Returns the version that will answer, whom the request counts for (its API key, or else the
        address `client`), and its `Work`. `waited` is as in `Door`.
        """
        if self.gate is not None:
            self.gate.check(scope)
            client = scope.get(CALLER) or client
        serving = self.repository.get(model, version)
        card, batcher = serving.checkpoint.card, serving.batcher
        work = begin(scope, card.name, card.version)
        wait = batcher.waiting * batcher.seconds_per_item
        if wait > SHORT_WAIT_SECONDS or waited > SHORT_WAIT_SECONDS:
            self._check_wait(batcher, client, waited)
        return serving, client, work

    def _check_wait(
        self, batcher: Batcher[Pixels, PredictionResult], client: str, waited: float
    ) -> None:
        """Raise `QueueFullError` if the queue is full, or if the answer would come too late.

        It would come too late if the queued images take longer than `max_queue_wait`, or if the
        request has lain in its socket for longer (`waited`, in seconds) than a full queue takes:
        newer requests are more useful then. (Nichols and Jacobson, "Controlling queue delay", 2012,
        on time in place of length.)
        """
        batcher.check_room(1, client)
        wait = batcher.waiting * batcher.seconds_per_item
        if wait > self.settings.max_queue_wait:
            raise QueueFullError(
                f"the images in the queue of this model take {wait:.1f} s, more than "
                f"{show_seconds(self.settings.max_queue_wait)} (setting max_queue_wait); try again "
                "later"
            )
        full = self.settings.max_queue_size * batcher.seconds_per_item
        if batcher.waiting and waited > full:
            raise QueueFullError(
                "the server was too busy to read this request in time; try again in a second"
            )


def refusal(error: BatchFailedError, card: Card, images: Sequence[EncodedImage]) -> ServiceError:
    """Return the error for a client whose batch failed.

    It is an `UnanswerableError` that lists the images without a finite answer. If anything else
    went wrong it is `error` itself, a 500.
    """
    if not all(isinstance(each, NotFiniteError) for each in error.failed.values()):
        return error
    return unanswerable(card, {index: images[index].filename for index in error.failed})


def unanswerable(card: Card, filenames: Mapping[int, str]) -> UnanswerableError:
    """Return the error for images without a finite answer; `filenames` are by index."""
    faults = [ImageFault(index, name, NOT_FINITE) for index, name in filenames.items()]
    return UnanswerableError(
        f"{card.name}/{card.version} gives no finite number for image "
        f"{', '.join(map(str, filenames))} of the request, counted from 0, and nothing was "
        "predicted; leave these images out, or ask another version",
        faults,
    )
