"""The map of a class map in an answer: which label wins where, and how often."""

from typing import Any

from pydantic import Field

from models.checkpoint import Card
from models.convolutional.class_map import ClassMap
from service.responses.schemas import Schema


class LabelShare(Schema):
    """A label that wins at some places of the map."""

    label: str
    index: int = Field(description="its place among the labels, from 0")
    places: int = Field(description="at which it is the most probable")
    share: float = Field(description="of all places, 0 to 1")
    score: float = Field(description="its largest probability at any place")
    best: list[float] = Field(
        description="the window of that place: left, top, right, bottom, as fractions of the "
        "upright image's width and height"
    )


class LabelMap(Schema):
    """Which label is the most probable at which place of an image."""

    shape: list[int] = Field(description="(rows, columns) of the map")
    image: list[int] = Field(description="(H, W) of the image that the network slid over")
    window: list[int] = Field(description="(H, W) that each place sees: the network's input")
    step: list[int] = Field(
        description="pixels of that image from place to place, down and across; the window of "
        "place (0, 0) begins at its top left corner"
    )
    shares: list[LabelShare] = Field(description="the most frequent label first")
    winners: list[list[int]] = Field(description="the label's index, nested lists of the shape")
    scores: list[list[float]] = Field(description="its probability, nested lists of the shape")


def told(found: ClassMap, card: Card) -> dict[str, Any]:
    """Return the fields of `LabelMap` for a class map, without its nested lists."""
    shares = [
        {
            "label": card.labels[each.index],
            "index": each.index,
            "places": each.places,
            "share": each.share,
            "score": each.score,
            "best": each.best,
        }
        for each in found.shares()
    ]
    return {
        "shape": list(found.winners.shape),
        "image": found.picture.size,
        "window": found.window,
        "step": found.step,
        "shares": shares,
    }


def values(found: ClassMap) -> dict[str, Any]:
    """Return the fields `winners` and `scores` of `LabelMap` as arrays (rows, columns).

    For each place these are the index of the most probable label, int32, and its probability,
    float32.
    """
    return {"winners": found.winners.int().numpy(), "scores": found.scores.numpy()}


def arrays(found: ClassMap, number: int) -> dict[str, Any]:
    """Return the arrays of one image for an npz file, by name.

    They are the probabilities (num_classes, rows, columns) and the step.
    """
    return {
        f"maps/{number}/probabilities": found.probabilities.numpy(),
        f"maps/{number}/step": list(found.step),
    }
