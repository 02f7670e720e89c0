"""The answer of `kernels`: the weights of a layer → JSON, npz, or a picture."""

import math
from typing import Any

import numpy as np
from fastapi import Response
from numpy.typing import NDArray
from pydantic import Field, JsonValue
from pydantic.json_schema import SkipJsonSchema

from models.checkpoint import Card
from models.features import Layer
from service.requests.parameters import KernelsParameters
from service.responses import arrays, rendering
from service.responses.arrays import statistics
from service.responses.rendering import Grid
from service.responses.schemas import Schema


class Kernels(Schema):
    """The weights of a layer."""

    model: str
    version: int
    layer: str
    type: str
    shape: list[int] = Field(description="(out, in, H, W), or (out, in) of a linear layer")
    arguments: dict[str, JsonValue] = Field(description="what the module was built with")
    min: float
    max: float
    mean: float
    std: float
    values: list[Any] | SkipJsonSchema[None] = Field(
        None, description="nested lists of the shape, with values=true"
    )
    bias: list[float] | SkipJsonSchema[None] = Field(
        None, description="one value per output, with values=true; absent if there is none"
    )


def encode(
    weight: NDArray[np.float32],
    bias: NDArray[np.float32] | None,
    layer: Layer,
    card: Card,
    asked: KernelsParameters,
) -> Response:
    """The answer in the format that was asked for; `weight` has the shape of `Layer.kernels`."""
    figures = statistics(weight)
    del figures["zeros"]
    if asked.format == "npz":
        named = {"weight": weight, **({"bias": bias} if bias is not None else {})}
        return arrays.npz_response(named, f"{card.name}-kernels")
    content: dict[str, Any] = {"model": card.name, "version": card.version}
    content |= {"layer": layer.name, "type": layer.type, "shape": weight.shape}
    if asked.format == "json":
        content |= {"arguments": layer.arguments, **figures}
        if asked.values:
            content |= {"values": weight, **({"bias": bias} if bias is not None else {})}
        return arrays.json_response(content)
    drawn = _drawn(weight, asked.tile)
    content |= {"min": figures["min"], "max": figures["max"], "columns": drawn.columns}
    return arrays.png_response(drawn.png, content | {"rows": drawn.rows, "tile": drawn.tile})


def _drawn(weight: NDArray[np.float32], tile: int | None) -> Grid:
    """Draw kernels of three input channels in colour, others in grey with a row for each output."""
    if weight.ndim == 2:
        return rendering.signed_grid(weight[None], columns=1, tile=tile)
    outputs, inputs = weight.shape[:2]
    if inputs == 3:
        return rendering.signed_grid(np.moveaxis(weight, 1, -1), tile=tile)  # (out, H, W, 3)
    flat = weight.reshape(math.prod((outputs, inputs)), *weight.shape[2:])
    return rendering.signed_grid(flat, columns=inputs if inputs > 1 else None, tile=tile)
