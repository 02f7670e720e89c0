"""Calibration scores, of which some are kept: score → p-value, level → quantile.

Both are those of split conformal prediction (Vovk, Gammerman and Shafer 2005; Lei et al. 2018).
Where scores were left out they err on the safe side: the p-value is never lower than that of all
scores, the quantile never lower.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.trust.errors import TrustError

MAX_KEPT = 1000
_KEPT_AT_THE_TOP = MAX_KEPT // 2  # exact p-values below 500 / (n + 1)
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Ranks:
    """A sample of `count` calibration scores; a high score is a strange one.

    `values` (M,) are the kept scores, in ascending order. `ranks` (M,) say how many of all scores
    are not higher than each. The highest score is always kept.
    """

    values: Floats
    ranks: NDArray[np.int64]

    @classmethod
    def of(cls, scores: Floats) -> Self:
        """Keep the highest `MAX_KEPT / 2` scores, and as many of the others at equal distances.

        Raises `TrustError` if there is no score, or for one that is not finite.
        """
        ordered = np.sort(np.asarray(scores, np.float32))
        if not len(ordered) or not np.isfinite(ordered).all():
            raise TrustError("there must be scores, and each must be a finite number")
        count = len(ordered)
        at = np.arange(count)
        if count > MAX_KEPT:
            below = count - _KEPT_AT_THE_TOP
            spread = np.linspace(0, below - 1, MAX_KEPT - _KEPT_AT_THE_TOP).round().astype(int)
            at = np.concatenate([spread, at[below:]])
        values = np.unique(ordered[at])
        return cls(values, np.searchsorted(ordered, values, side="right").astype(np.int64))

    @property
    def count(self) -> int:
        """The number of scores that were given, including those that were not kept."""
        return int(self.ranks[-1])

    @property
    def strangest(self) -> np.float32:
        """The next float32 above all scores, which has the lowest p-value."""
        above: np.float32 = np.nextafter(self.values[-1], np.float32(np.inf))
        return above

    def pvalues(self, scores: Floats) -> NDArray[np.float64]:
        """Return the conformal p-value (N,) of each score (N,): how usual the score is.

        It is (number of calibration scores that are at least as high + 1) / (count + 1), or a
        little higher where scores were not kept. For images of the same kind, at most 5 % have a
        p-value of 0.05 or less, and so for each other value. A score that is not finite has the
        p-value 0, and is never familiar.
        """
        scores = np.asarray(scores, np.float32)
        below = np.searchsorted(self.values, scores, side="left")  # kept scores that are lower
        lower = np.concatenate([[0], self.ranks])[below]
        pvalues = (self.count - lower + 1) / (self.count + 1)
        found: NDArray[np.float64] = np.where(np.isfinite(scores), pvalues, 0.0)
        return found

    @property
    def least(self) -> float:
        """The lowest p-value of a finite score."""
        return 1 / (self.count + 1)

    def quantile(self, level: float) -> float:
        """Return the score that a part of `level` of images of the same kind does not exceed.

        Infinity if there are too few scores to say so.
        """
        rank = math.ceil(level * (self.count + 1) - 1e-9)  # 0.95 · 20 is not above 19
        at = int(np.searchsorted(self.ranks, rank, side="left"))
        return float(self.values[at]) if at < len(self.values) else math.inf
