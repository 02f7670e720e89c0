"""The answer of `features`: activations → JSON, npz, or a picture of a layer's channels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from fastapi import Response
from numpy.typing import NDArray
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema
from torch import Tensor

from models import features as captured
from models.checkpoint import Card
from models.features import Layer
from models.structure.axes import Axis
from service.inference.engine import FeatureResult
from service.requests.parameters import FeaturesParameters
from service.responses import arrays, rendering
from service.responses.arrays import statistics
from service.responses.predictions import BATCH_SIZE, Prediction, prediction
from service.responses.schemas import Schema


class Activation(Schema):
    """The activation of a layer for one image; null where a value is not finite."""

    min: float
    max: float
    mean: float
    std: float
    zeros: float = Field(description="fraction of zeros")
    values: list[Any] | SkipJsonSchema[None] = Field(
        None, description="nested lists of the layer's shape, with values=true"
    )


class LayerFeatures(Schema):
    name: str
    shape: list[int] = Field(description="of one image's activation")
    axes: list[Axis] = Field(description="what each axis of the shape is")
    images: list[Activation] = Field(description="one for each image, in the order sent")
    note: str | SkipJsonSchema[None] = Field(
        None, description="what to know of the activations, where the layer is called several times"
    )


class Features(Schema):
    """Activations, of the first look, and the predictions."""

    model: str
    version: int
    predictions: list[Prediction] = Field(description="one for each image, in the order sent")
    layers: list[LayerFeatures] = Field(description="in the order asked for")


def encode(
    seen: Sequence[FeatureResult],
    layers: Mapping[str, Layer],
    card: Card,
    asked: FeaturesParameters,
) -> Response:
    """The response in the requested format, for these layers by name.

    A PNG shows the first image and layer only.
    """
    headers = {BATCH_SIZE: str(max(one.answer.batch_size for one in seen))}
    if asked.format == "npz":
        return arrays.npz_response(_arrays(seen, card.labels), f"{card.name}-features", headers)
    content: dict[str, Any] = {"model": card.name, "version": card.version}
    if asked.format == "png":
        return _picture(seen[0], layers, card, asked, content, headers)
    content["predictions"] = [
        prediction(card, one.answer.probabilities, asked.top_k) for one in seen
    ]
    content["layers"] = [_layer(each, seen, asked.values) for each in layers.values()]
    return arrays.json_response(content, headers)


def _layer(layer: Layer, seen: Sequence[FeatureResult], values: bool) -> dict[str, Any]:
    arrays = [np.ascontiguousarray(one.activations[layer.name].numpy()) for one in seen]
    images = [{**statistics(array), **({"values": array} if values else {})} for array in arrays]
    told = {"name": layer.name, "shape": arrays[0].shape, "axes": layer.axes, "images": images}
    return told | _note(layer)


def _note(layer: Layer) -> dict[str, str]:
    if layer.calls <= 1:
        return {}
    return {"note": f"{layer.name} is called {layer.calls} times; these are of its last call"}


def _picture(
    seen: FeatureResult,
    layers: Mapping[str, Layer],
    card: Card,
    asked: FeaturesParameters,
    content: dict[str, Any],
    headers: dict[str, str],
) -> Response:
    name, activation = next(iter(seen.activations.items()))
    maps = _maps(layers[name], activation)
    drawn = rendering.grid(
        maps,
        columns=asked.columns,
        tile=asked.tile,
        normalize=asked.normalize,
        colormap=asked.colormap,
    )
    first = prediction(card, seen.answer.probabilities, 1)
    figures = statistics(maps)
    content |= {"layer": name, "shape": tuple(activation.shape), **_note(layers[name])}
    content |= {"min": figures["min"], "max": figures["max"], "columns": drawn.columns}
    content |= {"rows": drawn.rows, "tile": drawn.tile}
    content["prediction"] = {"label": first["label"], "score": first["score"]}
    return arrays.png_response(drawn.png, content, headers)


def _arrays(seen: Sequence[FeatureResult], labels: Sequence[str]) -> dict[str, Any]:
    """Return the arrays of an npz file: the activations (N, …) by layer, and the predictions.

    The probabilities (N, num_classes) are from the same forward pass.
    """
    arrays: dict[str, Any] = {
        name: np.stack([one.activations[name].numpy() for one in seen])
        for name in seen[0].activations
    }
    arrays["predictions/probabilities"] = np.array(
        [one.answer.probabilities for one in seen], np.float32
    )
    arrays["predictions/labels"] = np.array(labels)
    return arrays


def _maps(layer: Layer, activation: Tensor) -> NDArray[np.float32]:
    """Convert an activation to maps (C, H, W) to draw.

    Each value of a vector becomes a map of one pixel, a matrix becomes one map.
    """
    if layer.maps is not None:
        return np.ascontiguousarray(captured.maps(layer, activation[None])[0].numpy())
    values: NDArray[np.float32] = activation.numpy()
    if values.ndim == 1:
        return values[:, None, None]
    return values.reshape(-1, *values.shape[-2:])
