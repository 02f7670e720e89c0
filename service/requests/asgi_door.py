"""The usual door to a prediction: a task that awaits the body, the decoder and the batcher."""

from collections.abc import MutableMapping, Sequence
from typing import Any, Self

from models.preprocessing import InputSpec, Pixels
from service.access.gate import client_of
from service.images.decoding import Decoder
from service.images.encoded import EncodedImage
from service.inference.batcher import Queued
from service.inference.engine import PredictionResult
from service.requests.reception import OtherBody, Receive, Receiver, Reception


class AsgiDoor:
    """A request that arrives as ASGI messages, as a `prediction.Door`."""

    waited = 0.0  # ASGI doesn't say

    def __init__(
        self,
        receiver: Receiver,
        scope: MutableMapping[str, Any],
        receive: Receive,
        kind: type[OtherBody] | None = None,
    ) -> None:
        """Create the door; `kind` is the parser of the body, by default one from `bodies`."""
        self._receiver, self._scope, self._receive, self._kind = receiver, scope, receive, kind
        self._reception: Reception | None = None
        self.client = (scope.get("client") or ("",))[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: object, /
    ) -> None:
        if self._reception is not None:
            self._reception.__exit__(kind, error, where)

    async def receive(self) -> list[EncodedImage]:
        reception = self._receiver.receive(self._scope, self._receive, self._kind)
        self._reception = reception.__enter__()
        return await reception.images()

    async def decode(
        self, decoder: Decoder, images: Sequence[EncodedImage], spec: InputSpec
    ) -> list[Pixels]:
        return await decoder.pixels(images, spec, client_of(self._scope))

    async def wait(self, queued: Queued[Pixels, PredictionResult]) -> list[PredictionResult]:
        return await queued.future
