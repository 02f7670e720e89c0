"""Predictions as other servers answer them, for clients that come from there."""

from collections.abc import Sequence
from typing import Any

from models.checkpoint import Card
from service.inference.engine import PredictionResult

MOST = 5  # classes that TorchServe's image classifier tells


def torchserve(card: Card, result: PredictionResult) -> dict[str, float]:
    """TorchServe's `image_classifier`: the most probable labels with their probabilities."""
    scored = sorted(zip(card.labels, result.probabilities, strict=True), key=lambda each: -each[1])
    return dict(scored[:MOST])


def tensorflow_serving(results: Sequence[PredictionResult]) -> dict[str, Any]:
    """The probabilities of each image, in the order of the card's labels."""
    return {"predictions": [each.probabilities for each in results]}
