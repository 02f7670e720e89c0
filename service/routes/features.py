"""Images in, activations out: what the layers of a network give."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic.json_schema import SkipJsonSchema

from models.checkpoint import Checkpoint
from service import encoding, openapi, pictures
from service.encoding import statistics
from service.engine import Look, Seen, feature_shapes
from service.errors import InvalidInputError, NotFoundError, TooLargeError
from service.pictures import MAX_TILE, Colormap, Normalize
from service.routes.dependencies import (
    BudgetDependency,
    DecoderDependency,
    FormatQuery,
    ReceiverDependency,
    RepositoryDependency,
    SettingsDependency,
    TopKQuery,
    VersionQuery,
    authorize,
)
from service.routes.predict import BATCH_SIZE, prediction
from service.schemas import Features
from service.uploads import Upload

MAX_JSON_VALUES = 2**20  # in one answer; npz has as many as the setting allows
Shapes = Mapping[str, tuple[int, ...]]

router = APIRouter(prefix="/v1/models", tags=["look inside"], dependencies=[Depends(authorize)])


@router.post(
    "/{model}/features",
    operation_id="features",
    summary="Feature maps of images",
    openapi_extra={"requestBody": openapi.IMAGES},
    response_class=Response,
    responses={
        200: openapi.answers(Features),
        **openapi.problems(400, 401, 404, 408, 413, 415, 422, 429, 503, 504),
    },
)
async def features(
    request: Request,
    model: str,
    repository: RepositoryDependency,
    receiver: ReceiverDependency,
    decoder: DecoderDependency,
    budget: BudgetDependency,
    settings: SettingsDependency,
    layer: Annotated[
        list[str],
        Query(
            min_length=1,
            max_length=1024,
            description="whose activations; GET /v1/models/{model} lists the layers, and "
            "`penultimate` is the embedding that the last one takes",
        ),
    ],
    version: VersionQuery = None,
    format: FormatQuery = "json",
    values: Annotated[
        bool, Query(description="all values in JSON, not only their figures")
    ] = False,
    top_k: TopKQuery = 5,
    normalize: Annotated[
        Normalize, Query(description="of a PNG: each channel by its own range, or by the layer's")
    ] = "channel",
    colormap: Annotated[Colormap, Query(description="of a PNG")] = "grey",
    tile: Annotated[
        int | SkipJsonSchema[None],
        Query(ge=1, le=MAX_TILE, description="pixels that a channel of a PNG is wide"),
    ] = None,
    columns: Annotated[
        int | SkipJsonSchema[None], Query(ge=1, le=64, description="of a PNG")
    ] = None,
) -> Response:
    """The activations of any layers for one image or many, with the predictions of the same pass.

    As JSON, as arrays `(N, C, H, W)` by layer for `numpy.load`, or of one image and one layer as a
    picture of its channels.
    """
    loaded = repository.ready(model, version)
    names = tuple(dict.fromkeys(layer))
    shapes = _shapes(loaded.checkpoint, names)
    each = sum(math.prod(shape) for shape in shapes.values())

    async def answer(uploads: list[Upload]) -> Response:
        _check(len(uploads), each, shapes, format, values, settings.max_feature_values)
        pixels = await decoder.pixels(uploads, loaded.checkpoint.card.input)
        async with budget.hold(each * len(uploads)):
            seen = await loaded.features.submit([Look(picture, names) for picture in pixels])
            return await asyncio.to_thread(encode, seen)

    def encode(seen: Sequence[Seen]) -> Response:
        headers = {BATCH_SIZE: str(max(one.answer.batch_size for one in seen))}
        card = loaded.checkpoint.card
        told = {"model": model, "version": card.version}
        if format == "npz":
            return encoding.as_npz(_arrays(seen, card.labels), f"{model}-features", headers)
        if format == "json":
            told["predictions"] = [
                prediction(card, one.answer.probabilities, top_k) for one in seen
            ]
            told["layers"] = [_layer(name, shapes[name], seen, values) for name in names]
            return encoding.as_json(told, headers)
        maps = _maps(seen[0].activations[names[0]].numpy())
        drawn = pictures.grid(
            maps, columns=columns, tile=tile, normalize=normalize, colormap=colormap
        )
        first = prediction(card, seen[0].answer.probabilities, 1)
        figures = statistics(maps)
        told |= {"layer": names[0], "shape": shapes[names[0]]}
        told |= {"min": figures["min"], "max": figures["max"], "columns": drawn.columns}
        told |= {"rows": drawn.rows, "tile": drawn.tile}
        told["prediction"] = {"label": first["label"], "score": first["score"]}
        return encoding.as_png(drawn.png, told, headers)

    async with receiver.receive(request.scope, request.receive) as uploads:
        return await answer(uploads)


def _shapes(checkpoint: Checkpoint, names: Sequence[str]) -> Shapes:
    known = feature_shapes(checkpoint)
    if unknown := [name for name in names if name not in known]:
        raise NotFoundError(
            f"no layer {', '.join(map(repr, unknown))}; there are: {', '.join(known)}"
        )
    return {name: known[name] for name in names}


def _check(images: int, each: int, shapes: Shapes, format: str, values: bool, most: int) -> None:
    """Raises a `ServiceError` for more than an answer may hold, before anything is decoded."""
    if format == "png" and (images, len(shapes)) != (1, 1):
        raise InvalidInputError(
            f"format=png draws one layer of one image, not {len(shapes)} of {images}; "
            "json and npz take many"
        )
    if images * each > most:
        raise TooLargeError(
            f"{images} images have {images * each:,} activations in these layers; at most {most:,} "
            "are answered (setting max_feature_values): ask for fewer layers or images"
        )
    if format == "json" and values and images * each > MAX_JSON_VALUES:
        raise TooLargeError(
            f"{images * each:,} values; JSON has at most {MAX_JSON_VALUES:,}: ask for format=npz, "
            "or for fewer layers or images"
        )


def _layer(name: str, shape: tuple[int, ...], seen: Sequence[Seen], values: bool) -> dict[str, Any]:
    arrays = [np.ascontiguousarray(one.activations[name].numpy()) for one in seen]
    images = [{**statistics(array), **({"values": array} if values else {})} for array in arrays]
    return {"name": name, "shape": shape, "images": images}


def _arrays(seen: Sequence[Seen], labels: Sequence[str]) -> dict[str, Any]:
    """By layer (N, …), and the probabilities (N, num_classes) of the same pass."""
    arrays: dict[str, Any] = {
        name: np.stack([one.activations[name].numpy() for one in seen])
        for name in seen[0].activations
    }
    arrays["predictions/probabilities"] = np.array(
        [one.answer.probabilities for one in seen], np.float32
    )
    arrays["predictions/labels"] = np.array(labels)
    return arrays


def _maps(activation: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """As maps (C, H, W): single values of a vector as one pixel each, a matrix as one map."""
    if activation.ndim == 1:
        return activation[:, None, None]
    if activation.ndim == 2:
        return activation[None]
    return activation.reshape(-1, *activation.shape[-2:])
