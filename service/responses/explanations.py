"""The response of `explain`: attributions → JSON, npz, or a heat map over the image."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from fastapi import Response
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from models.checkpoint import Card
from service.images.decoding import DecodedImage
from service.inference.explanation import Explanation, Question
from service.requests.parameters import ExplainParameters
from service.responses import arrays, rendering
from service.responses.inputs import as_image
from service.responses.predictions import Prediction, prediction
from service.responses.schemas import Schema

_NOTHING = "the heat map is 0 everywhere: {} finds nothing in the image that speaks for {}"


class Target(Schema):
    """The class that is explained."""

    label: str
    index: int = Field(description="its place among the labels, from 0")
    score: float = Field(
        description="its probability, 0 to 1; calibrated where the model's card has a calibration"
    )


class ImageExplanation(Schema):
    """Attributions: how much each input pixel supports the target; negative opposes it."""

    prediction: Prediction
    target: Target
    shape: list[int] = Field(description="(H, W) of the network's input")
    min: float
    max: float
    convergence_delta: float | SkipJsonSchema[None] = Field(
        None, description="of integrated gradients: what is missing from the sum, in logits"
    )
    note: str | SkipJsonSchema[None] = Field(
        None, description="what to know of the heat map, such as that it is 0 everywhere"
    )
    values: list[list[float]] = Field(description="nested lists of the shape")


class Explanations(Schema):
    model: str
    version: int
    method: str
    layer: str | SkipJsonSchema[None] = Field(None, description="that Grad-CAM looks at")
    explanations: list[ImageExplanation] = Field(
        description="one for each image, in the order sent"
    )


def encode(
    images: Sequence[DecodedImage],
    explanations: Sequence[Explanation],
    question: Question,
    card: Card,
    asked: ExplainParameters,
) -> Response:
    """The response in the requested format; a PNG shows the first image only."""
    method = question.method.name
    if asked.format == "npz":
        return arrays.npz_response(_arrays(explanations, card), f"{card.name}-{method}")
    content: dict[str, Any] = {"model": card.name, "version": card.version, "method": method}
    content |= question.parameters.model_dump(include={"layer"})
    each = [_content(one, method, card, asked.top_k) for one in explanations]
    if asked.format == "json":
        for one, explanation in zip(each, explanations, strict=True):
            one["values"] = explanation.values
        return arrays.json_response(content | {"explanations": each})
    ground, box = images[0].original, images[0].box
    if asked.view == "network":
        ground, box = as_image(images[0]), (0, 0, 1, 1)
    del each[0]["prediction"]["top"]
    picture = rendering.overlay(explanations[0].values, ground, box, asked.opacity)
    return arrays.png_response(picture, content | each[0])


def _content(explanation: Explanation, method: str, card: Card, top_k: int) -> dict[str, Any]:
    values, delta = explanation.values, explanation.convergence_delta
    label = card.labels[explanation.target]
    return {
        "prediction": prediction(card, explanation.probabilities, top_k),
        "target": {
            "label": label,
            "index": explanation.target,
            "score": explanation.probabilities[explanation.target],
        },
        "shape": values.shape,
        "min": float(values.min()),
        "max": float(values.max()),
        **({"convergence_delta": delta} if delta is not None else {}),
        **({} if values.any() else {"note": _NOTHING.format(method, label)}),
    }


def _arrays(explanations: Sequence[Explanation], card: Card) -> dict[str, Any]:
    """Attributions (N, H, W), targets (N,), and the probabilities (N, num_classes)."""
    deltas = [each.convergence_delta for each in explanations]
    return {
        "attributions": np.stack([each.values for each in explanations]),
        "targets": np.array([each.target for each in explanations]),
        "predictions/probabilities": np.array(
            [each.probabilities for each in explanations], np.float32
        ),
        "predictions/labels": np.array(card.labels),
        **({"convergence_deltas": np.array(deltas)} if None not in deltas else {}),
    }
