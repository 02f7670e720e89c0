"""The unit of work: a piece of the source → the content of its shard, wherever it is computed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fanlight.scoring import shards
from fanlight.scoring.rows import Row
from fanlight.scoring.scorer import Scorer
from fanlight.scoring.shards import Format
from fanlight.scoring.sources.source import Piece


@dataclass(frozen=True)
class Work:
    """The shard of this number: the images of a piece, of which the first has the index `start`."""

    number: int
    start: int
    piece: Piece
    format: Format


class Counts(NamedTuple):
    """How many images were answered, how many of these are unsure, and how many have an error."""

    answered: int = 0
    unsure: int = 0
    failed: int = 0

    def __add__(self, other: object) -> "Counts":  # of tuples it would join them
        if not isinstance(other, Counts):
            return NotImplemented
        return Counts(*map(sum, zip(self, other, strict=True)))

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "Counts":
        failed = sum(row.error is not None for row in rows)
        return cls(len(rows) - failed, sum(bool(row.unsure) for row in rows), failed)


class Done(NamedTuple):
    """The content of a shard, and what is in it."""

    number: int
    content: bytes
    counts: Counts


def done(scorer: Scorer, work: Work, tell: Callable[[int], None] = lambda _images: None) -> Done:
    """Do the work; `tell` is called with the number of images after each batch."""
    rows = scorer.score(work.piece, work.start, tell)
    return Done(work.number, shards.encode(rows, work.format), Counts.of(rows))
