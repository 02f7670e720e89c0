"""Images in, heat maps out: which pixels speak for a class."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic.json_schema import SkipJsonSchema

from models.checkpoint import Checkpoint
from service import encoding, explaining, openapi, pictures
from service.errors import InvalidInputError, NotFoundError, TooLargeError
from service.explaining import (
    MAX_STEPS,
    MAX_WINDOWS,
    METHODS,
    Baseline,
    Explanation,
    Method,
    Question,
)
from service.images import Opened
from service.routes.dependencies import (
    DecoderDependency,
    FormatQuery,
    LaneDependency,
    ReceiverDependency,
    RepositoryDependency,
    SettingsDependency,
    TopKQuery,
    VersionQuery,
    authorize,
)
from service.routes.inputs import as_image
from service.routes.predict import prediction
from service.schemas import Explanations
from service.uploads import Upload

_WINDOWS_ACROSS = 8  # that occlusion's usual window makes of the shorter side

router = APIRouter(prefix="/v1/models", tags=["look inside"], dependencies=[Depends(authorize)])


@router.post(
    "/{model}/explain",
    operation_id="explain",
    summary="Which pixels speak for a class?",
    openapi_extra={"requestBody": openapi.IMAGES},
    response_class=Response,
    responses={
        200: openapi.answers(Explanations),
        **openapi.problems(400, 401, 404, 408, 413, 415, 422, 429, 503, 504),
    },
)
async def explain(
    request: Request,
    model: str,
    repository: RepositoryDependency,
    receiver: ReceiverDependency,
    decoder: DecoderDependency,
    lane: LaneDependency,
    settings: SettingsDependency,
    method: Annotated[Method, Query(description="grad-cam needs convolutions")],
    version: VersionQuery = None,
    target: Annotated[
        str | SkipJsonSchema[None],
        Query(max_length=1024, description="a label or its index; default: the predicted class"),
    ] = None,
    layer: Annotated[
        str | SkipJsonSchema[None],
        Query(max_length=1024, description="grad-cam's; default: the last convolution with a map"),
    ] = None,
    steps: Annotated[int, Query(ge=2, le=MAX_STEPS, description="of integrated gradients")] = 32,
    window: Annotated[
        int | SkipJsonSchema[None],
        Query(ge=1, description="pixels of the input that occlusion hides at a time"),
    ] = None,
    stride: Annotated[
        int | SkipJsonSchema[None],
        Query(ge=1, description="pixels from window to window; default: half of one"),
    ] = None,
    baseline: Annotated[
        Baseline, Query(description="what hides, and where integrated gradients start")
    ] = "black",
    format: FormatQuery = "json",
    top_k: TopKQuery = 5,
    view: Annotated[
        Literal["network", "original"],
        Query(description="of a PNG: over the image as the network gets it, or as it was sent"),
    ] = "network",
    opacity: Annotated[float, Query(ge=0, le=1, description="of the heat in a PNG")] = 0.7,
) -> Response:
    """How much each pixel speaks for a class, by Grad-CAM, saliency, integrated gradients or
    occlusion.

    As JSON, as arrays `(N, H, W)` for `numpy.load`, or of one image as a picture. Explanations run
    one after the other beside the predictions, with less priority.
    """
    loaded = repository.ready(model, version)
    found = loaded.checkpoint
    question = _question(found, method, target, layer, steps, window, stride, baseline)

    async def answer(uploads: list[Upload]) -> Response:
        _check(len(uploads), format, settings.max_explained_images)
        images = await decoder.opened(uploads, found.card.input)
        explanations = [
            await lane.run(
                partial(
                    explaining.explain,
                    *(loaded.explained, found.card.input, image.pixels, found.device, question),
                )
            )
            for image in images
        ]
        return await asyncio.to_thread(encode, images, explanations)

    def encode(images: Sequence[Opened], explanations: Sequence[Explanation]) -> Response:
        told = {"model": model, "version": found.card.version, "method": method}
        if method == "grad-cam":
            told["layer"] = question.layer
        if format == "npz":
            return encoding.as_npz(_arrays(explanations, found), f"{model}-{method}")
        each = [_told(found, one, top_k) for one in explanations]
        if format == "json":
            for one, explanation in zip(each, explanations, strict=True):
                one["values"] = explanation.values
            return encoding.as_json(told | {"explanations": each})
        ground, box = images[0].original, images[0].box
        if view == "network":
            ground, box = as_image(images[0]), (0, 0, 1, 1)
        del each[0]["prediction"]["top"]
        picture = pictures.overlay(explanations[0].values, ground, box, opacity)
        return encoding.as_png(picture, told | each[0])

    async with receiver.receive(request.scope, request.receive) as uploads:
        return await answer(uploads)


def _question(
    checkpoint: Checkpoint,
    method: Method,
    target: str | None,
    layer: str | None,
    steps: int,
    window: int | None,
    stride: int | None,
    baseline: Baseline,
) -> Question:
    """What was asked, with what was left open chosen; raises a `ServiceError` if it can't be."""
    spec = checkpoint.card.input
    shorter = min(spec.height, spec.width)
    window = window or max(1, round(shorter / _WINDOWS_ACROSS))
    stride = stride or max(1, window // 2)
    if method == "occlusion":
        if window > shorter or stride > window:
            raise InvalidInputError(
                f"window {window} and stride {stride}: the window must fit into the input of "
                f"{spec.height} × {spec.width} pixels, and the stride into the window"
            )
        if (count := explaining.windows(spec, window, stride)) > MAX_WINDOWS:
            raise InvalidInputError(
                f"window {window} and stride {stride} make {count:,} windows; at most "
                f"{MAX_WINDOWS:,} are hidden: raise the stride"
            )
    return Question(
        method,
        None if target is None else _target(target, checkpoint.card.labels),
        _grad_cam_layer(checkpoint, layer) if method == "grad-cam" else "",
        steps,
        window,
        stride,
        baseline,
    )


def _target(target: str, labels: Sequence[str]) -> int:
    if target in labels:
        return labels.index(target)
    if target.isdecimal() and len(target) < 10 and int(target) < len(labels):
        return int(target)
    known = ", ".join(labels[:100]) + (", …" if len(labels) > 100 else "")
    raise InvalidInputError(
        f"target {target!r} is neither a label nor an index from 0 to {len(labels) - 1}; "
        f"the labels are: {known}"
    )


def _grad_cam_layer(checkpoint: Checkpoint, layer: str | None) -> str:
    usual = explaining.usual_layer(checkpoint.layers)
    if not usual:
        others = ", ".join(method for method in METHODS if method != "grad-cam")
        raise InvalidInputError(
            f"grad-cam needs a convolution with a map, and {checkpoint.card.name} has none; "
            f"methods that work: {others}"
        )
    if layer is None:
        return usual
    if layer not in {each.name for each in checkpoint.layers}:
        known = ", ".join(each.name for each in checkpoint.layers)
        raise NotFoundError(f"no layer {layer!r}; there are: {known}")
    possible = explaining.grad_cam_layers(checkpoint.layers)
    if layer not in possible:
        raise InvalidInputError(
            f"grad-cam needs a layer that gives maps, and {layer} doesn't; "
            f"possible: {', '.join(possible)}"
        )
    return layer


def _check(images: int, format: str, most: int) -> None:
    if images > most:
        raise TooLargeError(
            f"{images} images; at most {most} are explained at once (setting max_explained_images)"
        )
    if format == "png" and images != 1:
        raise InvalidInputError(f"format=png draws one image, not {images}; json and npz take many")


def _told(checkpoint: Checkpoint, explanation: Explanation, top_k: int) -> dict[str, Any]:
    card, values = checkpoint.card, explanation.values
    delta = explanation.convergence_delta
    return {
        "prediction": prediction(card, explanation.probabilities, top_k),
        "target": {
            "label": card.labels[explanation.target],
            "index": explanation.target,
            "score": explanation.probabilities[explanation.target],
        },
        "shape": values.shape,
        "min": float(values.min()),
        "max": float(values.max()),
        **({"convergence_delta": delta} if delta is not None else {}),
    }


def _arrays(explanations: Sequence[Explanation], checkpoint: Checkpoint) -> dict[str, Any]:
    """Attributions (N, H, W), targets (N,), and the probabilities (N, num_classes)."""
    deltas = [each.convergence_delta for each in explanations]
    return {
        "attributions": np.stack([each.values for each in explanations]),
        "targets": np.array([each.target for each in explanations]),
        "predictions/probabilities": np.array(
            [each.probabilities for each in explanations], np.float32
        ),
        "predictions/labels": np.array(checkpoint.card.labels),
        **({"convergence_deltas": np.array(deltas)} if None not in deltas else {}),
    }
