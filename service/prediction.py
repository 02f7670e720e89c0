"""The one way to a prediction: API key → version of the model → images → decode → queue → results.

Every door (the fast path, the FastAPI route, …) calls `Predictor.predict`. A door differs only in
how images arrive, and in how it waits for threads and for the batcher; see `Door`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from models.checkpoint import Card
from models.preprocessing import InputSpec, Pixels
from service import api_key
from service.images.decoding import Decoder
from service.images.encoded import EncodedImage
from service.inference.batcher import Queued
from service.inference.engine import PredictionResult
from service.repository.repository import Repository
from service.settings import Settings


class Door(Protocol):
    """How one request gets in, and how it waits.

    Leaving its `with` block ends its deadline. Where the work was cancelled because the deadline
    had passed or the client had left, leaving raises that reason.
    """

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
        """The images as uint8 (C, H, W) of the network's input."""
        ...

    async def wait(self, queued: Queued[Pixels, PredictionResult]) -> list[PredictionResult]:
        """The results, once the batcher has all of them."""
        ...


Predicted = tuple[Card, Sequence[PredictionResult]]
"""The card of the version, and the results for the images of a request in the order sent."""


@dataclass(frozen=True)
class Predictor:
    """Predicts with the models of a repository."""

    settings: Settings
    repository: Repository
    decoder: Decoder

    async def predict(
        self,
        headers: Iterable[tuple[bytes, bytes]],
        model: str,
        version: int | None,
        door: Door,
    ) -> Predicted:
        """Predict the images of one request; without a version, with the highest that is ready.

        All images are decoded before any is queued, so that a bad one fails no other request.
        Raises a `ServiceError`. Whatever ends this early (an error, a cancellation) takes the
        request's images out of the queue.
        """
        api_key.check(headers, self.settings)
        serving = self.repository.get(model, version)
        card = serving.checkpoint.card
        with serving.lease, door:
            images = await door.receive()
            serving.batcher.check_room(len(images))
            pixels = await door.decode(self.decoder, images, card.input)
            queued = serving.batcher.enqueue(pixels)
            try:
                return card, await door.wait(queued)
            except BaseException:
                serving.batcher.withdraw(queued)
                raise
