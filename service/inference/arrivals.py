"""Counts what a version answers, for /metrics: labels, scores, familiarity, unsure answers.

Answers are kept and counted together: once there are `MAX_KEPT_IMAGES` images or `MAX_KEPT_VALUES`
probabilities, with the first answer after `WHILE_SECONDS`, and whenever the metrics are read.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from models.trust.card import TENTHS
from service.inference.doubt import DIGITS, Judge
from service.inference.outputs import Outputs
from service.monitoring.version_figures import Counts

MAX_KEPT_IMAGES = 256  # images; to count each alone would cost some percent of a request
MAX_KEPT_VALUES = 2**17  # probabilities, which take 3 ms to count, and half a megabyte
WHILE_SECONDS = 10.0


class Arrivals:
    """Counts the answers of one version; to be used on the event loop only.

    `judge` is that of the version, None if it has no calibration: then no answer is unsure.
    """

    def __init__(
        self, num_classes: int, judge: Judge | None, report: Callable[[Counts], None]
    ) -> None:
        self._num_classes, self._judge, self._report = num_classes, judge, report
        self._many = min(MAX_KEPT_IMAGES, max(1, MAX_KEPT_VALUES // num_classes))  # images
        self._kept: list[Outputs] = []
        self._images = 0
        self._reported = time.monotonic()

    def add(self, outputs: Outputs) -> None:
        """Keep the outputs of a batch, to be counted later."""
        self._kept.append(outputs)
        self._images += len(outputs.probabilities)
        if self._images >= self._many or time.monotonic() - self._reported > WHILE_SECONDS:
            self.report()

    def report(self) -> None:
        """Count and report all answers since the last report, except those that are not finite."""
        kept, self._kept, self._images = self._kept, [], 0
        self._reported = time.monotonic()
        if not kept:
            return
        rows = np.concatenate([each.probabilities for each in kept])  # (N, K)
        finite = np.isfinite(rows).all(1)
        rows = rows[finite]
        familiarity, unsure = np.empty(0), {}
        if self._judge is not None:
            unfamiliar = np.zeros(len(rows), bool)
            strangeness = [each.strangeness for each in kept if each.strangeness is not None]
            if strangeness:
                pvalues = self._judge.trust.pvalues(np.concatenate(strangeness)[finite])
                familiarity = np.round(pvalues, DIGITS)
                unfamiliar = familiarity < self._judge.threshold
            ambiguous = ~unfamiliar & ~self._judge.trust.are_clear(rows, self._judge.coverage)
            unsure = {"unfamiliar": int(unfamiliar.sum()), "ambiguous": int(ambiguous.sum())}
        labels = np.bincount(rows.argmax(1), minlength=self._num_classes).tolist()
        scores = _tenths(rows.max(1)) if len(rows) else [0] * TENTHS
        self._report(Counts(labels, scores, _tenths(familiarity), unsure))


def _tenths(values: NDArray[np.floating]) -> Sequence[int]:
    """Count the values in each tenth of the range 0 to 1; a value of 1 is in the last tenth."""
    tenths = np.minimum((values.astype(float) * TENTHS).astype(int), TENTHS - 1)
    counts: list[int] = np.bincount(tenths, minlength=TENTHS).tolist()
    return counts
