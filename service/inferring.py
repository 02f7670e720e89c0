"""Inference by the Open Inference Protocol v2: tensors in, tensors out.

    body → tensors → images, pixels or values of the input → predictions → tensors → answer

Images and pixels are predicted as all others (`service/prediction.py`). Normalised values, and
activations of layers, are computed in the batches of `features`.
"""

import asyncio
import math
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
from fastapi import Response
from numpy.typing import NDArray

from models.features import Layer
from models.preprocessing import InputSpec, Pixels
from models.registry import listed, proposal
from service.errors import MalformedBodyError, TooLargeError
from service.images.decoding import Decoder
from service.images.encoded import EncodedImage
from service.inference.batcher import BatchFailedError, Queued
from service.inference.engine import FeatureRequest, FeatureResult, PredictionResult
from service.inspection import Inspector
from service.monitoring.work import Work
from service.prediction import Predictor, refusal
from service.process.event_loop import INFERENCE_BODY_BYTES
from service.repository.loading import ServingModel
from service.repository.repository import Repository
from service.requests import inference_request
from service.requests.inference_request import IMAGE, InferenceBody, InferenceRequest
from service.requests.parameters import PredictParameters
from service.requests.reception import Receive, Receiver
from service.responses.other_protocols import inference_results as inference_response
from service.responses.other_protocols.inference_models import INPUT
from service.responses.other_protocols.inference_results import LABEL, LOGITS, PROBABILITIES
from service.settings import Settings

_UNREAD = EncodedImage(b"", "", "")  # in place of the file of an image that came as pixels


@dataclass(frozen=True)
class Given:
    """The images of a request: files, or arrays (C, H, W) of uint8 or float32.

    Arrays of float32 are already normalised. With arrays, `files` has an empty file for each.
    """

    files: Sequence[EncodedImage]
    arrays: Sequence[NDArray[Any]] | None = None

    @property
    def is_normalised(self) -> bool:
        return self.arrays is not None and self.arrays[0].dtype.kind == "f"


class InferenceDoor:
    """A request whose tensors have arrived, as a `prediction.Door`.

    The reception around it has the deadline.
    """

    waited = 0.0  # ASGI doesn't say

    def __init__(self, given: Given, client: str) -> None:
        self.client = client
        self._given = given

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: the deadline goes on until the answer is encoded."""

    async def receive(self) -> Sequence[EncodedImage]:
        return self._given.files

    async def decode(
        self, decoder: Decoder, images: Sequence[EncodedImage], spec: InputSpec
    ) -> list[Pixels]:
        if self._given.arrays is not None:
            return list(self._given.arrays)
        return await decoder.pixels(images, spec, self.client)

    async def wait(self, queued: Queued[Pixels, PredictionResult]) -> list[PredictionResult]:
        return await queued.future


@dataclass(frozen=True)
class Inferrer:
    """Answers `infer`. Every method raises `ServiceError`."""

    settings: Settings
    repository: Repository
    receiver: Receiver
    decoder: Decoder
    predictor: Predictor
    inspector: Inspector

    async def infer(
        self, scope: MutableMapping[str, Any], receive: Receive, model: str, version: int | None
    ) -> Response:
        """Answer the request of this ASGI scope."""
        address = (scope.get("client") or ("",))[0]
        serving, _, work = self.predictor.admit(scope, model, version, address)
        with serving.lease, self.receiver.receive(scope, receive, InferenceBody) as reception:
            [body] = await reception.images()
            read = partial(self._read, serving, body.encoded, dict(scope["headers"]))
            if len(body.encoded) > INFERENCE_BODY_BYTES:
                request, given, layers = await asyncio.to_thread(read)
            else:
                request, given, layers = read()
            if request.timeout is not None and request.timeout < self.settings.request_timeout:
                reception.allow(request.timeout, "timeout of the request")
            if layers or given.is_normalised:
                work.received(len(given.files), sum(len(each.encoded) for each in given.files))
                return await self._look_inside(
                    serving, request, given, layers, reception.client, work
                )
            door = InferenceDoor(given, reception.client)
            asked = PredictParameters(version=serving.checkpoint.card.version, familiarity=False)
            predicted = await self.predictor.predict(scope, model, asked, door)
            return inference_response.encode(predicted.card, request, predicted.results)

    def _read(
        self, serving: ServingModel, content: bytes, headers: Mapping[bytes, bytes]
    ) -> tuple[InferenceRequest, Given, Mapping[str, Layer]]:
        """Parse a whole body: the request, its images, and the layers among its outputs."""
        request = inference_request.parse(content, headers, self.settings.max_images)
        layers = self._layers(serving, [each.name for each in inference_response.asked(request)])
        return request, self._given(request, serving.checkpoint.card.input), layers

    async def _look_inside(
        self,
        serving: ServingModel,
        request: InferenceRequest,
        given: Given,
        layers: Mapping[str, Layer],
        client: str,
        work: Work,
    ) -> Response:
        """Answer a request for activations of layers, or with normalised values."""
        card = serving.checkpoint.card
        count = len(given.files)
        values = count * sum(math.prod(layer.output_shape) for layer in layers.values())
        if values > (most := self.settings.max_feature_values):
            raise TooLargeError(
                f"{count} images have {values:,} activations in these layers; at most {most:,} "
                "are answered (setting max_feature_values): ask for fewer layers or images"
            )

        def encode(seen: Sequence[FeatureResult]) -> Response:
            activations = {
                name: np.stack([each.activations[name].numpy() for each in seen]) for name in layers
            }
            results = [each.answer for each in seen]
            return inference_response.encode(card, request, results, activations)

        with self.inspector.places.maps.place():
            arrays = given.arrays
            if arrays is None:
                arrays = await self.decoder.pixels(given.files, card.input, client)
            asked = [FeatureRequest(array, tuple(layers)) for array in arrays]
            work.decoded()
            async with self.inspector.budget.hold(max(1, values)):
                try:
                    seen = await serving.features.submit(asked, work=work)
                except BatchFailedError as error:
                    raise refusal(error, card, given.files) from error
                work.ended(work.queue, max(each.answer.batch_size for each in seen))
                return await self.inspector.places.maps.run(encode, seen)

    def _layers(self, serving: ServingModel, names: Sequence[str]) -> dict[str, Layer]:
        """The layers and blocks among the outputs with these names, by name.

        Raises `MalformedBodyError` for a name that is neither one of them nor a usual output.
        """
        known = serving.checkpoint.structure.outputs()
        own = (PROBABILITIES, LOGITS, LABEL)
        for name in names:
            if name not in own and name not in known:
                there = [*own, *known]
                raise MalformedBodyError(
                    f"no output {name!r}; {proposal(name, there)}there are {listed(there)}"
                )
        return {name: known[name] for name in names if name not in own}

    def _given(self, request: InferenceRequest, spec: InputSpec) -> Given:
        """Return the images in the inputs of a request; raise a `ServiceError` for other inputs."""
        names = list(request.inputs)
        if names not in ([IMAGE], [INPUT]):
            raise MalformedBodyError(
                f"the inputs are {listed([repr(name) for name in names])}; one is taken: "
                f"{IMAGE!r}, BYTES, encoded images, or {INPUT!r}, UINT8 or FP32"
            )
        [tensor] = request.inputs.values()
        count = math.prod(tensor.shape) if tensor.name == IMAGE else [*tensor.shape, 1][0]
        if count > (most := self.settings.max_images):
            raise TooLargeError(f"more than {most} images in a request (setting max_images)")
        if tensor.name == IMAGE:
            return Given(inference_request.images(tensor))
        shape = (count, *spec.shape)
        if tensor.shape != shape or tensor.datatype not in ("UINT8", "FP32"):
            raise MalformedBodyError(
                f"the input {INPUT!r} has the shape {list(tensor.shape)} and the datatype "
                f"{tensor.datatype}; it must have {[-1, *spec.shape]} and UINT8, pixels, or FP32, "
                "as the network takes it"
            )
        if tensor.datatype == "FP32" and not np.isfinite(tensor.array).all():
            raise MalformedBodyError(f"the input {INPUT!r} has values that are not finite")
        return Given([_UNREAD] * count, list(tensor.array))
