"""The weights of a layer, as numbers and as pictures."""

import asyncio
import math
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic.json_schema import SkipJsonSchema

from models.checkpoint import Checkpoint
from models.features import Layer
from service import encoding, openapi, pictures
from service.encoding import statistics
from service.errors import InvalidInputError, NotFoundError, TooLargeError
from service.pictures import MAX_TILE, Grid
from service.routes.dependencies import (
    FormatQuery,
    RepositoryDependency,
    VersionQuery,
    authorize,
)
from service.routes.features import MAX_JSON_VALUES
from service.schemas import Kernels

router = APIRouter(prefix="/v1/models", tags=["look inside"], dependencies=[Depends(authorize)])


@router.get(
    "/{model}/kernels/{layer}",
    operation_id="kernels",
    summary="Weights of a layer",
    response_class=Response,
    responses={200: openapi.answers(Kernels), **openapi.problems(401, 404, 413, 422, 503)},
)
async def kernels(
    model: str,
    layer: Annotated[str, Path(description="a convolution or a linear layer, by its name")],
    repository: RepositoryDependency,
    version: VersionQuery = None,
    format: FormatQuery = "json",
    values: Annotated[
        bool, Query(description="all values in JSON, not only their figures")
    ] = False,
    channel: Annotated[
        int | SkipJsonSchema[None],
        Query(ge=0, description="only the kernels of this output channel, from 0"),
    ] = None,
    tile: Annotated[
        int | SkipJsonSchema[None],
        Query(ge=1, le=MAX_TILE, description="pixels that a kernel of a PNG is wide"),
    ] = None,
) -> Response:
    """Kernels (out, in, H, W) of a convolution; of a linear layer templates (out, C, H, W) where it
    takes what was a map or the picture, else (out, in).

    As JSON, as arrays for `numpy.load`, or as a picture: of three input channels in colour, else in
    grey, a row per output and a column per input channel.
    """
    loaded = repository.ready(model, version)
    found = _layer(loaded.checkpoint, layer)
    weight, bias = _weights(loaded.checkpoint, found, channel)
    if format == "json" and values and weight.size > MAX_JSON_VALUES:
        raise TooLargeError(
            f"{weight.size:,} values; JSON has at most {MAX_JSON_VALUES:,}: ask for format=npz, "
            "or for one channel"
        )

    def encode() -> Response:
        told: dict[str, Any] = {"model": model, "version": loaded.checkpoint.card.version}
        told |= {"layer": layer, "type": found.type, "shape": weight.shape}
        figures = statistics(weight)
        del figures["zeros"]
        if format == "npz":
            arrays = {"weight": weight, **({"bias": bias} if bias is not None else {})}
            return encoding.as_npz(arrays, f"{model}-kernels")
        if format == "json":
            told |= {"arguments": found.arguments, **figures}
            if values:
                told |= {"values": weight, **({"bias": bias} if bias is not None else {})}
            return encoding.as_json(told)
        drawn = _drawn(weight, tile)
        told |= {"min": figures["min"], "max": figures["max"], "columns": drawn.columns}
        return encoding.as_png(drawn.png, told | {"rows": drawn.rows, "tile": drawn.tile})

    return await asyncio.to_thread(encode)


def _layer(checkpoint: Checkpoint, name: str) -> Layer:
    having = [layer.name for layer in checkpoint.layers if layer.kernels is not None]
    for layer in checkpoint.layers:
        if layer.name == name and layer.kernels is not None:
            return layer
    raise NotFoundError(f"no layer {name!r} with kernels; there are: {', '.join(having) or 'none'}")


def _weights(checkpoint: Checkpoint, layer: Layer, channel: int | None) -> tuple[Any, Any]:
    """The weight in the shape of `Layer.kernels`, and the bias (out,) or None."""
    module = checkpoint.network.get_submodule(layer.name)
    weight = module.get_parameter("weight").detach().view(layer.kernels or (-1,)).cpu().numpy()
    given = dict(module.named_parameters(recurse=False)).get("bias")
    bias = given.detach().cpu().numpy() if given is not None else None
    if channel is None:
        return weight, bias
    if channel >= len(weight):
        raise InvalidInputError(
            f"{layer.name} has {len(weight)} output channels, 0 to {len(weight) - 1}; not {channel}"
        )
    return weight[channel : channel + 1], bias[channel : channel + 1] if bias is not None else None


def _drawn(weight: Any, tile: int | None) -> Grid:
    if weight.ndim == 2:
        return pictures.signed_grid(weight[None], columns=1, tile=tile)
    outputs, inputs = weight.shape[:2]
    if inputs == 3:
        return pictures.signed_grid(np.moveaxis(weight, 1, -1), tile=tile)  # (out, H, W, 3)
    flat = weight.reshape(math.prod((outputs, inputs)), *weight.shape[2:])
    return pictures.signed_grid(flat, columns=inputs if inputs > 1 else None, tile=tile)
