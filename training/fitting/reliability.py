"""Reliability on a data set of what a card promises: probabilities, label sets, familiarity."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.checkpoint import Card
from models.trust import Answers, Trust, TrustError, calibration
from training import plots
from training.fitting import trust as trusts

COVERAGE = 0.95
_ASKED = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995)


class NoFamiliarityError(TrustError):
    """Strangers can't be told apart by a network whose card has no familiarity."""

    def __init__(self) -> None:
        super().__init__(
            "strangers can't be told apart: the card has no familiarity; fanlight calibrate NAME "
            "--data FOLDER adds it"
        )


@dataclass(frozen=True)
class Reliability:
    """Measured reliability of a network's probabilities, label sets and familiarity.

    `probabilities` (N, K) are calibrated if the card has a calibration; `bins` and `ece` are
    computed from them, `ece_before` from those without calibration. `asked` and `held` are the
    requested and the measured coverages, both empty without calibration. `unfamiliar`, `ambiguous`
    and `unsure` are shares of all answers.
    """

    probabilities: Tensor
    bins: NDArray[np.float64]
    ece: float
    ece_before: float
    asked: tuple[float, ...] = ()
    held: tuple[float, ...] = ()
    set_size: float | None = None
    unfamiliar: float | None = None
    ambiguous: float | None = None
    unsure: float | None = None

    @classmethod
    def of(cls, trust: Trust | None, answers: Answers) -> Self:
        """Measure the answers to a data set."""
        logits, targets = answers.logits, answers.targets
        plain = calibration.probabilities(logits, 1.0)
        before = calibration.calibration_error(plain, targets)
        if trust is None:
            bins = calibration.reliability(plain, targets).numpy()
            return cls(plain, bins, before, before)
        shares = trust.probabilities(logits)
        rows = np.arange(len(targets))
        sets = {each: trust.sets(shares.numpy(), each) for each in _ASKED}
        unfamiliar, ambiguous = trusts.unsure(trust, answers)
        has_method = trust.method is not None
        return cls(
            shares,
            calibration.reliability(shares, targets).numpy(),
            calibration.calibration_error(shares, targets),
            before,
            _ASKED,
            tuple(float(each[rows, targets.numpy()].mean()) for each in sets.values()),
            float(sets[COVERAGE].sum(1).mean()),
            unfamiliar.double().mean().item() if has_method else None,
            ambiguous.double().mean().item(),
            (unfamiliar | ambiguous).double().mean().item(),
        )

    @property
    def coverage(self) -> float | None:
        """The part of the sets at coverage 0.95 that hold the right label; None without sets."""
        return self.held[self.asked.index(COVERAGE)] if self.asked else None

    def text(self, card: Card) -> str:
        """Return a line for the terminal: calibration error, and size and coverage of the sets.

        Without a calibration it says why there is none.
        """
        if self.coverage is None:
            why = card.trust_note or (
                f"fanlight calibrate {card.name} --data FOLDER adds it, from images that were not "
                "trained on"
            )
            return f"ECE {self.ece:.4f}; the card has no calibration: {why}"
        familiar = "" if self.unfamiliar is None else f"{self.unfamiliar:.1%} unfamiliar, "
        asked = card.calibration.coverage if card.calibration is not None else COVERAGE
        return (
            f"ECE {self.ece:.4f}, without calibration {self.ece_before:.4f}; sets at coverage "
            f"{COVERAGE:g} hold the right label of {self.coverage:.2%}, {self.set_size:.2f} labels "
            f"each (the top label is always in); {self.unsure:.1%} are unsure: {familiar}"
            f"{self.ambiguous:.1%} ambiguous at the card's coverage {asked:g}"
        ).replace("%", " %")

    def drawn(self, title: str) -> bytes:
        """The reliability diagram and coverage, as a PNG."""
        return plots.reliability(self.bins, self.asked, self.held, title)

    def as_json(self) -> dict[str, Any]:
        return {
            "ece": self.ece,
            "ece_without_calibration": self.ece_before,
            "coverage": dict(zip(map(str, self.asked), self.held, strict=True)),
            "set_size": self.set_size,
            "unfamiliar": self.unfamiliar,
            "ambiguous": self.ambiguous,
            "unsure": self.unsure,
        }


@dataclass(frozen=True)
class Strangers:
    """How well a network separates strangers from familiar images.

    `familiar` and `strange` (N,) are the statistics of both kinds; a higher one is stranger, and
    one above `limit` is called unfamiliar. `unfamiliar` and `unsure` are the shares of the
    strangers with these marks.
    """

    familiar: NDArray[np.float32]
    strange: NDArray[np.float32]
    limit: float
    unfamiliar: float
    unsure: float

    @classmethod
    def of(cls, trust: Trust | None, familiar: Answers, strange: Answers) -> Self:
        """Measure both; raises `NoFamiliarityError` where the card has no familiarity."""
        if trust is None or trust.statistics is None:
            raise NoFamiliarityError
        known, unknown = (trusts.statistic(trust, each) for each in (familiar, strange))
        unfamiliar, ambiguous = trusts.unsure(trust, strange)
        return cls(
            known,
            unknown,
            trust.statistics.quantile(1 - trust.threshold),
            unfamiliar.double().mean().item(),
            (unfamiliar | ambiguous).double().mean().item(),
        )

    @property
    def auroc(self) -> float:
        """How often a stranger has a higher statistic than a familiar image, ties half.

        That is the area under the ROC curve (Hanley and McNeil 1982).
        """
        return auroc(self.familiar, self.strange)

    @property
    def text(self) -> str:
        return (
            f"strangers: AUROC {self.auroc:.4f}, {self.unsure:.1%} unsure, {self.unfamiliar:.1%} "
            f"unfamiliar ({len(self.strange):,} pictures)"
        ).replace("%", " %")

    def drawn(self, title: str) -> bytes:
        """The histogram, as a PNG."""
        limit = min(self.limit, float(max(self.familiar.max(), self.strange.max())))
        return plots.strangers(self.familiar, self.strange, limit, title)

    def as_json(self) -> dict[str, Any]:
        return {
            "pictures": len(self.strange),
            "auroc": self.auroc,
            "unsure": self.unsure,
            "unfamiliar": self.unfamiliar,
        }


def auroc(low: NDArray[np.float32], high: NDArray[np.float32]) -> float:
    """Return the probability that a value of `high` is above a value of `low`; ties count half."""
    ordered = np.sort(low)
    below = np.searchsorted(ordered, high, side="left")
    not_above = np.searchsorted(ordered, high, side="right")
    return float((below + not_above).mean() / 2 / len(low))
