"""The answer of `predict`: results → JSON (as `Predictions`) and headers."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import orjson
from pydantic import Field

from models.checkpoint import Card
from service.prediction import Predicted
from service.requests.parameters import PredictParameters
from service.responses.schemas import Schema

BATCH_SIZE = "X-Batch-Size"  # of the largest batch that an image of the request ran in
_OF_BATCH = attrgetter("batch_size")
_BATCH_SIZE = BATCH_SIZE.lower().encode()
RawHeaders = list[tuple[bytes, bytes]]
EncodedAnswer = tuple[int, RawHeaders, bytes]
"""Status, headers (their names in lower case) and body of an answer, as they are sent."""


class LabelScore(Schema):
    label: str
    score: float = Field(description="softmax probability, 0 to 1")


class Prediction(Schema):
    """The class of one image."""

    label: str = Field(description="the most probable class")
    score: float = Field(description="its softmax probability, 0 to 1")
    top: list[LabelScore] = Field(description="the most probable classes, best first")


class Predictions(Schema):
    model: str
    version: int
    predictions: list[Prediction] = Field(description="one for each image, in the order sent")


def encode(predicted: Predicted, parameters: PredictParameters) -> EncodedAnswer:
    """The answer 200 in JSON, as `Predictions`."""
    card, answers = predicted
    content = {
        "model": card.name,
        "version": card.version,
        "predictions": [prediction(card, each.probabilities, parameters.top_k) for each in answers],
    }
    body = orjson.dumps(content)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (_BATCH_SIZE, b"%d" % max(map(_OF_BATCH, answers))),
    ]
    return 200, headers, body


def prediction(card: Card, probabilities: Sequence[float], top_k: int) -> dict[str, Any]:
    """The most probable class and the `top_k` most probable ones, as `Prediction`."""
    ranked = sorted(range(len(probabilities)), key=probabilities.__getitem__, reverse=True)
    labels = card.labels
    top = [{"label": labels[index], "score": probabilities[index]} for index in ranked[:top_k]]
    return {**top[0], "top": top}
