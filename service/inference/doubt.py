"""Whether an answer can be relied on: outputs of a batch → familiarity, set → unsure, why.

    engine:  outputs of a batch → `Judge.measure` → familiarity and set of each image
    request: its results        → `Judge.doubts`  → unsure and why

The engine's judge uses the coverage and threshold of the settings or the card. A request can ask
for others, and gets a judge of its own.

The methods and their papers are in `models.trust`. A familiarity is rounded before it is compared
with the threshold, so that a client that compares the answered value finds the same.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from models.checkpoint import Card, Checkpoint
from models.trust import Trust
from service.errors import InvalidInputError
from service.inference.outputs import Outputs

DIGITS = 4  # of a familiarity
Why = Literal["unfamiliar", "ambiguous"]
Set = tuple[int, ...]
"""The labels that an image may have (a conformal prediction set), as their indices."""


class Measured(Protocol):
    """The engine's result for one image, as far as a judge reads it."""

    @property
    def probabilities(self) -> list[float]: ...

    @property
    def familiarity(self) -> float | None: ...

    @property
    def set(self) -> Set: ...


class Doubt(NamedTuple):
    """How far the answer for one image can be relied on.

    `why` is None if the answer is sure; `familiarity` is None if the card has none. The set has the
    most probable label first.
    """

    familiarity: float | None
    why: Why | None
    set: Set


class Asked(Protocol):
    """The parameters of a request; None means the value of the settings or the card."""

    @property
    def familiarity(self) -> bool | None: ...

    @property
    def coverage(self) -> float | None: ...

    @property
    def threshold(self) -> float | None: ...


def sets(trust: Trust, probabilities: NDArray[np.float32], coverage: float) -> list[Set]:
    """Return the set of labels of each image, as indices, from probabilities (N, K)."""
    inside = trust.sets(probabilities, coverage)  # (N, K), one or more in each row
    rows, labels = inside.nonzero()
    if len(labels) == len(inside):
        return [(label,) for label in labels.tolist()]
    found: list[list[int]] = [[] for _row in inside]
    for row, label in zip(rows.tolist(), labels.tolist(), strict=True):
        found[row].append(label)
    return [tuple(each) for each in found]


def _ranked(labels: Set, of: Measured) -> Set:
    """Sort the labels of a set, the most probable first."""
    if len(labels) < 2:
        return labels
    return tuple(sorted(labels, key=of.probabilities.__getitem__, reverse=True))


@dataclass(frozen=True)
class Judge:
    """The rule that decides which answers of a version are unsure.

    `coverage` and `threshold` are those to apply. `is_usual` is True if the engine's sets already
    have that coverage.
    """

    card: Card
    trust: Trust
    coverage: float
    threshold: float
    is_usual: bool = True

    def measure(self, outputs: Outputs) -> Iterable[tuple[float | None, Set]]:
        """Return the familiarity and the set of labels of each image of a batch."""
        found = sets(self.trust, outputs.probabilities, self.coverage)
        if outputs.strangeness is None:
            return [(None, each) for each in found]
        familiarity = map(self._familiarity, outputs.strangeness.tolist())
        return zip(familiarity, found, strict=True)

    def doubts(self, results: Sequence[Measured]) -> list[Doubt]:
        """Return a `Doubt` for each result of a request, in the order of the results.

        A result that is sure has one too, whose `why` is None.
        """
        if self.is_usual:
            found: Iterable[Set] = [each.set for each in results]
        else:
            rows = np.array([each.probabilities for each in results], np.float32)
            found = sets(self.trust, rows, self.coverage)
        return [
            Doubt(each.familiarity, self._why(each, own), _ranked(own, each))
            for each, own in zip(results, found, strict=True)
        ]

    def _familiarity(self, strangeness: float) -> float:
        """Return the p-value of a strangeness, rounded; 0 if the strangeness is not finite.

        The look-up takes a tenth of the time that `Trust` takes for a batch.
        """
        steps, values = self._steps
        if not math.isfinite(strangeness):
            return 0.0
        return values[bisect_left(steps, strangeness)]

    @cached_property
    def _steps(self) -> tuple[list[float], list[float]]:
        """The p-values as a step function: the scores at which they fall, and their values.

        `values[i]` holds up to and including `scores[i]`; the last value holds above all scores.
        """
        ranks = self.trust.statistics
        if ranks is None:
            return [], [0.0]
        scores = np.append(ranks.values, ranks.strangest)
        return scores[:-1].tolist(), np.round(ranks.pvalues(scores), DIGITS).tolist()

    @cached_property
    def _least(self) -> float:
        """The top probability below which an answer is ambiguous."""
        return float(self.trust.least_to_be_clear(self.coverage))

    def _why(self, result: Measured, labels: Set) -> Why | None:
        if result.familiarity is not None and result.familiarity < self.threshold:
            return "unfamiliar"
        is_clear = len(labels) == 1 and result.probabilities[labels[0]] >= self._least
        return None if is_clear else "ambiguous"


def usual(checkpoint: Checkpoint, coverage: float | None, threshold: float | None) -> Judge | None:
    """Make the default judge of a version; None if the card has no calibration.

    `coverage` and `threshold` are those of the settings; None means those of the card.
    """
    trust = checkpoint.trust
    if trust is None:
        return None
    return Judge(
        checkpoint.card,
        trust,
        trust.coverage if coverage is None else coverage,
        trust.threshold if threshold is None else threshold,
    )


def too_low(trust: Trust, threshold: float) -> str:
    """Return why the threshold calls only blank images unfamiliar; empty if it is not too low.

    A threshold of 0 is not too low: it is meant to call no image unfamiliar.
    """
    ranks = trust.statistics
    if ranks is None or not 0 < threshold <= ranks.least:
        return ""
    return (
        f"can't tell familiarities below {ranks.least:.2g}, since it knows those of "
        f"{ranks.count:,} images; give more than that, or 0, which calls no image unfamiliar"
    )


def judge(card: Card, usual: Judge | None, asked: Asked) -> Judge | None:
    """Return the judge for a request, or None if the answer will not contain doubts.

    Raises `InvalidInputError` for a parameter that needs a calibration or a familiarity that the
    card lacks, and for a threshold that is too low.
    """
    if asked.familiarity is asked.coverage is asked.threshold is None:
        return usual
    if asked.familiarity is False:
        return None
    if usual is None:
        raise InvalidInputError(_missing(card, "calibration", _given(asked)))
    needs_familiarity = asked.familiarity or asked.threshold is not None
    if needs_familiarity and usual.trust.familiarity is None:
        names = [name for name in _given(asked) if name != "coverage"]
        raise InvalidInputError(_missing(card, "familiarity", names))
    if asked.threshold is not None and (why := too_low(usual.trust, asked.threshold)):
        raise InvalidInputError(f"invalid parameter: threshold: {card.name}/{card.version} {why}")
    coverage = usual.coverage if asked.coverage is None else asked.coverage
    threshold = usual.threshold if asked.threshold is None else asked.threshold
    is_usual = coverage == usual.coverage
    return replace(usual, coverage=coverage, threshold=threshold, is_usual=is_usual)


def _given(asked: Asked) -> list[str]:
    names = ("familiarity", "coverage", "threshold")
    return [name for name in names if getattr(asked, name) is not None]


def _missing(card: Card, part: str, parameters: Sequence[str]) -> str:
    note = f" ({card.trust_note})" if card.trust_note else ""
    names = " and ".join(parameters)
    return (
        f"invalid parameter: {names}: {card.name}/{card.version} has no {part}{note}; leave "
        f"{names} out, or add it with `fanlight calibrate {card.name} --data FOLDER`"
    )
