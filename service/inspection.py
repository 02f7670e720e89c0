"""Looking inside a network: its layers' activations and weights, its input, its explanations.

    version of the model → images → checks → decode → work in the background → encode

Each public method of `Inspector` answers one endpoint. An answer that would be too large is refused
before an image is decoded.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, fields
from functools import partial
from time import perf_counter
from typing import TypeVar

import numpy as np
from fastapi import Response
from numpy.typing import NDArray

from models import features as captured
from models.checkpoint import Checkpoint
from models.features import Layer
from models.images.decoding import upright_size
from models.registry import listed, proposal
from service.errors import InvalidInputError, NotFoundError, TooLargeError, UnavailableError
from service.images.decoder_process import MAX_ORIGINAL, ORIGINAL
from service.images.decoding import DecodedImage, Decoder
from service.images.encoded import EncodedImage
from service.inference import explanation
from service.inference.admission import MemoryBudget
from service.inference.batcher import BatchFailedError
from service.inference.engine import FeatureRequest
from service.inference.explain_methods.method import Original
from service.inference.explanation import (
    Explanation,
    ExplanationWorker,
    Question,
    Step,
    UnanswerableGroupError,
)
from service.inference.pool import Pool
from service.inference.progress import Progress, Told, unheard
from service.monitoring.work import Work
from service.prediction import refusal, unanswerable
from service.repository.loading import ServingModel
from service.repository.repository import Repository
from service.requests.parameters import (
    ExplainParameters,
    FeaturesParameters,
    InputParameters,
    KernelsParameters,
    ModelParameters,
)
from service.requests.reception import Reception
from service.responses.inside import explanations, features, inputs, kernels, receptive_fields
from service.responses.inside.receptive_fields import ReceptiveFields
from service.settings import Settings

Result = TypeVar("Result")
MAX_JSON_VALUES = 2**20  # in one answer; npz has as many as the setting allows
MAX_ORIGINALS = 2**26  # pixels of whole images that explanations hold at once, 3 bytes each
MAX_ENCODED = 256  # requests whose activations or heat maps are computed and encoded


@dataclass(frozen=True)
class Places:
    """Thread pools that encode answers: one for each kind, so that none delays another kind."""

    kernels: Pool
    inputs: Pool
    maps: Pool  # activations and heat maps

    @classmethod
    @contextmanager
    def opened(cls, settings: Settings, threads: int) -> Iterator["Places"]:
        """Open pools for these settings until the block ends; `threads` threads encode maps."""
        most, setting = settings.max_inspect_queue_size, "max_inspect_queue_size"
        with ExitStack() as pools:
            places = cls(
                Pool("kernels", 1, most, setting),
                Pool("input", 1, most, setting),
                Pool("features and explain", threads, MAX_ENCODED),
            )
            for field in fields(cls):
                pools.enter_context(closing(getattr(places, field.name)))
            yield places


@dataclass(frozen=True)
class Inspector:
    """Looks inside the models of a repository. Every method raises `ServiceError`."""

    settings: Settings
    repository: Repository
    decoder: Decoder
    worker: ExplanationWorker
    budget: MemoryBudget
    originals: MemoryBudget
    places: Places

    async def features(self, model: str, asked: FeaturesParameters, images: Reception) -> Response:
        """Answer with the activations of layers, and the predictions."""
        serving = self.repository.get(model, asked.version)
        names = tuple(dict.fromkeys(asked.layer))
        layers = _outputs(serving.checkpoint, names)
        each = sum(math.prod(layer.output_shape) for layer in layers.values())  # for an image
        card = serving.checkpoint.card
        work = images.begin(card.name, card.version)
        with serving.lease:
            async with images as encoded:
                count = len(encoded)
                work.received(count, sum(len(each.encoded) for each in encoded))
                if asked.format == "png" and (count, len(names)) != (1, 1):
                    raise InvalidInputError(
                        f"format=png draws one layer of one image, not {len(names)} of {count}; "
                        "json and npz take many"
                    )
                self._check_values(count, each, asked)
                with self.places.maps.place():
                    pictures = await self.decoder.pixels(encoded, card.input, images.client)
                    work.decoded()
                    async with self.budget.hold(each * count):
                        held = perf_counter() - work.started - work.decode
                        requests = [FeatureRequest(picture, names) for picture in pictures]
                        try:
                            seen = await serving.features.submit(requests, work=work)
                        except BatchFailedError as error:
                            raise refusal(error, card, encoded) from error
                        work.ended(held + work.queue, max(each.answer.batch_size for each in seen))
                        encode = partial(features.encode, seen, layers, card, asked)
                        return await self.places.maps.run(encode)

    async def kernels(self, model: str, name: str, asked: KernelsParameters) -> Response:
        """Answer with the weights of a layer."""
        checkpoint = self.repository.get(model, asked.version).checkpoint
        layer = _layer_with_kernels(checkpoint, name)
        weight, bias = _weights(checkpoint, layer, asked.channel)
        if asked.format == "json" and asked.values and weight.size > MAX_JSON_VALUES:
            raise TooLargeError(
                f"{weight.size:,} values; JSON has at most {MAX_JSON_VALUES:,}: "
                "ask for format=npz, or for one channel"
            )
        pool = self.places.kernels
        with pool.place():
            return await pool.run(kernels.encode, weight, bias, layer, checkpoint.card, asked)

    async def receptive_fields(self, model: str, asked: ModelParameters) -> ReceptiveFields:
        """Answer how much of the image each layer and block sees."""
        serving = self.repository.get(model, asked.version)
        with serving.lease, self.worker.place():
            try:
                found = await self.worker.run(lambda _step: serving.receptive_fields)
            except (MemoryError, RuntimeError) as error:  # torch's own is one
                raise UnavailableError(
                    "there is not enough memory now to measure what the layers see; try again later"
                ) from error
        return receptive_fields.answer(found, serving.checkpoint.card)

    async def explain(
        self, model: str, asked: ExplainParameters, images: Reception, told: Told = unheard
    ) -> Response:
        """Answer how much each pixel speaks for a class; call `told` with the progress.

        A request with `told` has the deadline of the setting progress_timeout.
        """
        serving = self.repository.get(model, asked.version)
        checkpoint = serving.checkpoint
        card = checkpoint.card
        question = explanation.question(checkpoint, asked.method, asked.own(), asked.target)
        work = images.begin(card.name, card.version)
        async with images as encoded:
            work.received(len(encoded), sum(len(each.encoded) for each in encoded))
            if told is not unheard:
                images.allow(self.settings.progress_timeout, "setting progress_timeout")
            if len(encoded) > (most := self.settings.max_explained_images):
                raise TooLargeError(
                    f"{len(encoded)} images; at most {most} are explained at once "
                    "(setting max_explained_images)"
                )
            if asked.format == "png" and len(encoded) != 1:
                raise InvalidInputError(
                    f"format=png draws one image, not {len(encoded)}; json and npz take many"
                )
            longest = question.method.longest(card.input)
            kept = 0 if longest is None else max(MAX_ORIGINAL, longest**2)  # pixels of each
            with self.places.maps.place(), self.worker.place():
                async with self.originals.hold(len(encoded) * kept):
                    work.starts()
                    return await self._explanations(
                        serving, question, encoded, asked, told, longest, images.client, work
                    )

    async def _explanations(
        self,
        serving: ServingModel,
        question: Question,
        encoded: Sequence[EncodedImage],
        asked: ExplainParameters,
        told: Told,
        longest: int | None,
        client: str,
        work: Work,
    ) -> Response:
        """Decode the images of `explain`, explain them and encode the answer.

        `longest` is how many pixels of the whole image's longer side the method needs, or None.
        """
        card = serving.checkpoint.card
        decoded = await self.decoder.decode_with_original(
            encoded, card.input, longest or ORIGINAL, fits=longest is not None, client=client
        )
        work.decoded()
        originals = [
            Original(image.original, upright_size(each.encoded))
            for image, each in zip(decoded, encoded, strict=True)
        ]
        try:
            found = await self._explained(serving, question, decoded, originals, told, work)
        except UnanswerableGroupError as error:
            serving.marks.not_finite(len(error.indices))
            names = {index: encoded[index].filename for index in error.indices}
            raise unanswerable(card, names) from error
        work.ended(work.queue)
        return await self.places.maps.run(
            explanations.encode, decoded, found, question, card, asked
        )

    async def _explained(
        self,
        serving: ServingModel,
        question: Question,
        decoded: Sequence[DecodedImage],
        originals: Sequence[Original],
        told: Told,
        work: Work,
    ) -> list[Explanation]:
        """Explain the images, group by group, so that other requests get their turn between groups.

        Raises `UnanswerableGroupError` with indices in the request.
        """
        explainer, found = serving.explainer, list[Explanation]()
        progress = Progress(len(decoded), explanation.passes(explainer, question), told)
        size = explanation.together(explainer, question)
        ran = None if told is unheard else progress.ran
        for start in range(0, len(decoded), size):
            group = [each.pixels for each in decoded[start : start + size]]
            explain = partial(
                explanation.explain,
                explainer,
                group,
                question,
                originals=originals[start : start + size],
            )
            try:
                asked = perf_counter()
                began, made = await self.worker.run(partial(_timed, explain), ran)
                work.queue += began - asked
                found += made
            except UnanswerableGroupError as error:
                raise UnanswerableGroupError([start + each for each in error.indices]) from error
            progress.finished(len(found))
        return found

    async def input(self, model: str, asked: InputParameters, images: Reception) -> Response:
        """Answer with the images as the network gets them."""
        card = self.repository.get(model, asked.version).checkpoint.card
        work = images.begin(card.name, card.version)
        async with images as encoded:
            work.received(len(encoded), sum(len(each.encoded) for each in encoded))
            if asked.format == "png" and len(encoded) != 1:
                raise InvalidInputError(f"format=png takes one image, not {len(encoded)}")
            with self.places.inputs.place():
                decoded = await self.decoder.decode_with_original(
                    encoded, card.input, client=images.client
                )
                work.decoded()
                return await self.places.inputs.run(inputs.encode, decoded, card, asked)

    def _check_values(self, images: int, each: int, asked: FeaturesParameters) -> None:
        """Raise `TooLargeError` if the answer would hold too many activations.

        `each` is the number of activations for one image.
        """
        values, most = images * each, self.settings.max_feature_values
        if values > most:
            raise TooLargeError(
                f"{images} images have {values:,} activations in these layers; at most {most:,} "
                "are answered (setting max_feature_values): ask for fewer layers or images"
            )
        if asked.format == "json" and asked.values and values > MAX_JSON_VALUES:
            raise TooLargeError(
                f"{values:,} values; JSON has at most {MAX_JSON_VALUES:,}: ask for format=npz, "
                "or for fewer layers or images"
            )


def _timed(work: Callable[[Step], Result], step: Step) -> tuple[float, Result]:
    """Run the work; returns the time of `perf_counter` when it began, and its result."""
    return perf_counter(), work(step)


def _outputs(checkpoint: Checkpoint, names: Sequence[str]) -> Mapping[str, Layer]:
    known = checkpoint.structure.outputs()
    if unknown := [name for name in names if name not in known]:
        raise NotFoundError(
            f"no layer {', '.join(map(repr, unknown))}; "
            f"{proposal(unknown[0], known)}there are: {listed(list(known))}"
        )
    return {name: known[name] for name in names}


def _layer_with_kernels(checkpoint: Checkpoint, name: str) -> Layer:
    having = {layer.name: layer for layer in checkpoint.layers if layer.kernels is not None}
    if name in having:
        return having[name]
    raise NotFoundError(
        f"no layer {name!r} with kernels; {proposal(name, having)}there are: {listed(list(having))}"
    )


def _weights(
    checkpoint: Checkpoint, layer: Layer, channel: int | None
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Return the weight in the shape of `Layer.kernels`, and the bias (out,) or None.

    `channel` selects one output channel; raises `InvalidInputError` if there is no such channel.
    """
    module = checkpoint.network.get_submodule(layer.name)
    weight = captured.kernels(checkpoint.network, layer).cpu().numpy()
    given = dict(module.named_parameters(recurse=False)).get("bias")
    bias = given.detach().cpu().numpy() if given is not None else None
    if channel is None:
        return weight, bias
    if channel >= len(weight):
        raise InvalidInputError(
            f"{layer.name} has {len(weight)} output channels, 0 to {len(weight) - 1}; not {channel}"
        )
    return weight[channel : channel + 1], bias[channel : channel + 1] if bias is not None else None
