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
from service.responses.inside import class_maps
from service.responses.inside.class_maps import LabelMap
from service.responses.inside.inputs import as_image
from service.responses.predictions import Prediction, prediction
from service.responses.schemas import Schema

WHOLE = (0.0, 0.0, 1.0, 1.0)
_SHARES_IN_HEADER = 5
_ZERO = "The heat map is 0 everywhere: {}."
_NOTHING = "{} finds nothing in the image that speaks for {}"


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
    shape: list[int] = Field(
        description="(H, W) of the network's input; of a class map, of the image that it slid over"
    )
    box: list[float] = Field(
        description="the part of the upright image that the heat map covers: left, top, right, "
        "bottom, as fractions of width and height; it may reach beyond the image (below 0, above 1)"
    )
    min: float
    max: float
    convergence_delta: float | SkipJsonSchema[None] = Field(
        None, description="of integrated gradients: what is missing from the sum, in logits"
    )
    note: str | SkipJsonSchema[None] = Field(
        None,
        description="what to know of the heat map: that it is 0 everywhere, that its layer does "
        "not hold the whole image, or that a class map's image was scaled",
    )
    map: LabelMap | SkipJsonSchema[None] = Field(
        None, description="of a class map: which label is the most probable where"
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
    each = [
        _content(one, image, question, card, asked.top_k)
        for one, image in zip(explanations, images, strict=True)
    ]
    if asked.format == "json":
        for one, explanation in zip(each, explanations, strict=True):
            one["values"] = explanation.values
            if explanation.class_map is not None:
                one["map"] |= class_maps.values(explanation.class_map)
        return arrays.json_response(content | {"explanations": each})
    ground, box, found = images[0].original, each[0]["box"], explanations[0].class_map
    if asked.view == "network":
        ground, box = as_image(images[0].pixels if found is None else found.picture.pixels), WHOLE
    del each[0]["prediction"]["top"]
    if found is not None:  # a header has little room
        del each[0]["map"]["shares"][_SHARES_IN_HEADER:]
    picture = rendering.overlay(
        explanations[0].values,
        ground,
        box,
        asked.opacity,
        largest=None if found is None else 1.0,  # a probability
    )
    return arrays.png_response(picture, content | each[0])


def _content(
    explanation: Explanation, image: DecodedImage, question: Question, card: Card, top_k: int
) -> dict[str, Any]:
    values, delta = explanation.values, explanation.convergence_delta
    found = explanation.class_map
    label = card.labels[explanation.target]
    notes = list(question.notes)
    if not values.any():
        reason = explanation.reason or _NOTHING.format(question.method.name, label)
        notes.append(_ZERO.format(reason))
    notes += [] if found is None else found.picture.changes
    return {
        "prediction": prediction(card, explanation.probabilities, top_k),
        "target": {
            "label": label,
            "index": explanation.target,
            "score": explanation.probabilities[explanation.target],
        },
        "shape": values.shape,
        "box": image.box if found is None else found.picture.box,
        "min": float(values.min()),
        "max": float(values.max()),
        **({"convergence_delta": delta} if delta is not None else {}),
        **({"note": " ".join(notes)} if notes else {}),
        **({} if found is None else {"map": class_maps.told(found, card)}),
    }


def _arrays(explanations: Sequence[Explanation], card: Card) -> dict[str, Any]:
    """Return the arrays of an npz file, by name.

    They are the attributions (N, H, W), targets (N,), probabilities (N, num_classes), and the
    labels. Class maps have the size of each image, so each has its own array: `attributions/0`.
    """
    deltas = [each.convergence_delta for each in explanations]
    maps = [each.class_map for each in explanations if each.class_map is not None]
    values = [each.values for each in explanations]
    attributions = (
        {f"attributions/{number}": each for number, each in enumerate(values)}
        if maps
        else {"attributions": np.stack(values)}
    )
    for number, found in enumerate(maps):
        attributions |= class_maps.arrays(found, number)
    return {
        **attributions,
        "targets": np.array([each.target for each in explanations]),
        "predictions/probabilities": np.array(
            [each.probabilities for each in explanations], np.float32
        ),
        "predictions/labels": np.array(card.labels),
        **({"convergence_deltas": np.array(deltas)} if None not in deltas else {}),
    }
