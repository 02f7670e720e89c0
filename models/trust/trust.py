"""The figures computed for each answer: logits and features → probabilities, sets, familiarity."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.trust import calibration
from models.trust.card import Calibration, Familiarity
from models.trust.errors import TrustError
from models.trust.methods.method import Statistic
from models.trust.ranks import Floats, Ranks
from models.trust.second_look import SecondLook


@dataclass(frozen=True)
class Trust:
    """The trust of a version, from its card and its trust file.

    `label_scores` are the scores of the right labels of calibration images
    (`calibration.label_scores`). `method` and `statistics` are None unless the card has a
    familiarity.
    """

    calibration: Calibration
    label_scores: Ranks
    familiarity: Familiarity | None = None
    method: Statistic | None = None
    statistics: Ranks | None = None

    @property
    def coverage(self) -> float:
        """The default coverage of `sets`."""
        return self.calibration.coverage

    @property
    def second_look(self) -> SecondLook | None:
        """The rule by which images are looked at twice; None where all are looked at once."""
        return self.calibration.second_look

    @property
    def threshold(self) -> float:
        """The default familiarity below which an answer is unsure; 0 without familiarity."""
        return self.familiarity.threshold if self.familiarity is not None else 0.0

    @property
    def knows_blank(self) -> bool:
        """Whether an image of one colour is judged as others are; if not, it is never familiar."""
        return self.familiarity is not None and self.familiarity.knows_blank

    def statistic(self, logits: Tensor, features: Tensor) -> Tensor:
        """Compute how strange each image is: logits (N, K), features (N, D) → (N,) float32.

        Raises `TrustError` where the card has no familiarity.
        """
        if self.method is None:
            raise TrustError("the card has no familiarity")
        found: Tensor = self.method(logits, features)
        return found

    def pvalues(self, statistic: Floats) -> NDArray[np.float64]:
        """Return the familiarity, (N,) in [0, 1]: the part of familiar images that are as strange.

        It is 0 only for a statistic that is not finite. Raises `TrustError` where the card has no
        familiarity.
        """
        if self.statistics is None:
            raise TrustError("the card has no familiarity")
        return self.statistics.pvalues(statistic)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return softmax(logits / temperature), (N, K) float32."""
        return calibration.probabilities(logits, self.calibration.temperature)

    def sets(
        self, probabilities: NDArray[np.floating], coverage: float | None = None
    ) -> NDArray[np.bool_]:
        """Return the labels of each image's set, (N, K), by split conformal prediction.

        At least a part of `coverage` of familiar images has its label in the set. The scores are
        those of LAC (Sadinle, Lei and Wasserman 2019). The most probable label is always in the
        set. Raises `ValueError` unless 0 < coverage < 1.
        """
        least = self.least_probability(self.coverage if coverage is None else coverage)
        found: NDArray[np.bool_] = np.asarray(probabilities, np.float32) >= least
        found[np.arange(len(found)), probabilities.argmax(1)] = True
        return found

    def are_clear(
        self, probabilities: NDArray[np.floating], coverage: float | None = None
    ) -> NDArray[np.bool_]:
        """Return which answers (N,) are not ambiguous: one label in the set, probable enough.

        A set always has the most probable label, even one that is too improbable for it; such a set
        says nothing. The probability is judged at the card's coverage, or at a higher one if that
        is asked for. At a lower one, sets would become empty only because the network is right more
        often.
        """
        asked = self.coverage if coverage is None else coverage
        top = np.asarray(probabilities, np.float32).max(1)
        has_one = self.sets(probabilities, asked).sum(1) == 1
        found: NDArray[np.bool_] = has_one & (top >= self.least_to_be_clear(asked))
        return found

    def least_to_be_clear(self, coverage: float) -> np.float32:
        """Return the top probability below which an answer is ambiguous at this coverage."""
        return self.least_probability(max(coverage, self.coverage))

    def least_probability(self, coverage: float) -> np.float32:
        """Return the least probability of a label in the set of that coverage.

        Raises `ValueError` unless 0 < coverage < 1.
        """
        if not 0 < coverage < 1:
            raise ValueError(f"coverage must be above 0 and below 1, not {coverage}")
        return np.float32(-self.label_scores.quantile(coverage))
