"""One row for each image: what the service would answer for it, or the error that it would give."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Self

from models.checkpoint import Card
from service.errors import ServiceError
from service.inference.doubt import Doubt
from service.inference.engine import PredictionResult
from service.responses.predictions import prediction


class LabelScore(NamedTuple):
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Row:
    """The answer for the image with this `index` in its source, from 0.

    `score` is the probability of `label`, `top` the most probable labels. `familiarity`, `unsure`,
    `why`, `set` and `warnings` are those of the service, None where the card lacks what they need.
    An image without an answer has `status` and `error` alone: the HTTP status and the reason that
    the service would answer with.
    """

    index: int
    path: str | None
    label: str | None = None
    score: float | None = None
    top: Sequence[LabelScore] | None = None
    familiarity: float | None = None
    unsure: bool | None = None
    why: str | None = None
    set: Sequence[str] | None = None
    warnings: Sequence[str] | None = None
    status: int | None = None
    error: str | None = None

    def values(self) -> list[Any]:
        """Return the values in the order of `COLUMNS`."""
        return [getattr(self, name) for name in COLUMNS]

    @classmethod
    def of_error(cls, index: int, path: str | None, error: ServiceError) -> Self:
        """Make the row of an image that can't be read or decoded, or has no finite answer."""
        reason = error.images[0].reason if len(error.images) == 1 else error.detail
        return cls(index, path, status=error.status, error=reason)

    @classmethod
    def of_answer(
        cls,
        index: int,
        path: str | None,
        card: Card,
        result: PredictionResult,
        top_k: int,
        doubt: Doubt | None,
        warnings: Sequence[str],
    ) -> Self:
        """Make the row of an answer, as `service.responses.predictions.encode` makes its JSON."""
        found = prediction(card, result.probabilities, top_k)
        top = [LabelScore(each["label"], each["score"]) for each in found["top"]]
        return cls(
            index,
            path,
            found["label"],
            found["score"],
            top,
            None if doubt is None else doubt.familiarity,
            None if doubt is None else doubt.why is not None,
            None if doubt is None else doubt.why,
            None if doubt is None else [card.labels[label] for label in doubt.set],
            warnings or None,
        )


COLUMNS = tuple(each.name for each in fields(Row))
"""The columns of a shard."""
