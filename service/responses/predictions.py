"""The answer of `predict`: results → JSON (as `Predictions`) and headers."""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import orjson
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from models.checkpoint import Card
from service.inference.doubt import Doubt, Why
from service.prediction import Predicted
from service.requests.parameters import PredictParameters
from service.responses.schemas import Schema

BATCH_SIZE = "X-Batch-Size"  # of the largest batch that an image of the request ran in
_BATCH_SIZE = BATCH_SIZE.lower().encode()
RawHeaders = list[tuple[bytes, bytes]]
EncodedAnswer = tuple[int, RawHeaders, bytes]
"""Status, headers (their names in lower case) and body of an answer, as they are sent."""


class LabelScore(Schema):
    label: str
    score: float = Field(
        description="its probability, 0 to 1; calibrated where the model's card has a calibration"
    )


class Prediction(Schema):
    """The class of one image."""

    label: str = Field(description="the most probable class")
    score: float = Field(
        description="its probability, 0 to 1; calibrated where the model's card has a calibration"
    )
    top: list[LabelScore] = Field(description="the most probable classes, best first")


class SurePrediction(Prediction):
    """The class of one image, and, where the model is calibrated, whether to rely on it."""

    familiarity: Annotated[float, Field(ge=0, le=1)] | SkipJsonSchema[None] = Field(
        None,
        description="how usual the image is among those of the kind that was trained on: of such "
        "images, a part of 0.05 has a familiarity below 0.05 (a conformal p-value)",
    )
    unsure: bool | SkipJsonSchema[None] = Field(
        None, description="whether the answer is not to be relied on; `why` says why"
    )
    why: Why | SkipJsonSchema[None] = Field(
        None,
        description="unfamiliar: the familiarity is below the threshold; ambiguous: the set has "
        "several labels, or no label is probable enough. Absent if the answer is sure",
    )
    set: list[str] | SkipJsonSchema[None] = Field(
        None,
        description="labels, the most probable first, among which the right one is for the part "
        "`coverage` of familiar images (split conformal prediction)",
    )
    warnings: list[str] | SkipJsonSchema[None] = Field(
        None,
        description="in what the image is plainly not as the model expects, and what to do; absent "
        "for an image that is",
    )
    logits: list[float] | SkipJsonSchema[None] = Field(
        None, description="in the order of the card's labels, with logits=true"
    )


class Predictions(Schema):
    model: str
    version: int
    predictions: list[SurePrediction] = Field(description="one for each image, in the order sent")


def encode(predicted: Predicted, parameters: PredictParameters) -> EncodedAnswer:
    """Encode the answer of `predict`: status 200, headers, and `Predictions` as JSON."""
    card, results, batch_size, doubts, warnings = predicted
    top_k = parameters.top_k
    each = [prediction(card, result.probabilities, top_k) for result in results]
    if doubts is not None:
        for one, found in zip(each, doubts, strict=True):
            one |= _told(found, card.labels)
    if warnings is not None:
        for one, sentences in zip(each, warnings, strict=True):
            if sentences:
                one["warnings"] = sentences
    if parameters.logits:
        for one, result in zip(each, results, strict=True):
            one["logits"] = np.nan_to_num(result.logits).tolist()
    body = orjson.dumps({"model": card.name, "version": card.version, "predictions": each})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (_BATCH_SIZE, b"%d" % batch_size),
    ]
    return 200, headers, body


def prediction(card: Card, probabilities: Sequence[float], top_k: int) -> dict[str, Any]:
    """Return the fields of `Prediction`, with the `top_k` most probable classes."""
    ranked = sorted(range(len(probabilities)), key=probabilities.__getitem__, reverse=True)
    labels = card.labels
    top = [{"label": labels[index], "score": probabilities[index]} for index in ranked[:top_k]]
    return {**top[0], "top": top}


def _told(doubt: Doubt, labels: Sequence[str]) -> dict[str, Any]:
    """The fields of a prediction that say whether to rely on it."""
    found: dict[str, Any] = {} if doubt.familiarity is None else {"familiarity": doubt.familiarity}
    found["unsure"] = doubt.why is not None
    if doubt.why is not None:
        found["why"] = doubt.why
    found["set"] = [labels[index] for index in doubt.set]
    return found
