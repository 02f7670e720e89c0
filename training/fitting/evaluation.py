"""How good a classifier is, class by class: logits and targets → confusion matrix → figures."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, mean
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Metrics:
    """Mean cross-entropy in nats, and the fraction of pictures whose top class is theirs."""

    loss: float
    accuracy: float


class Tally:
    """Loss and accuracy over batches.

    The sums stay on the device of the batches: reading one would wait for the device.

    They are NaN if a logit was not finite: the top class means nothing then. So they are of no
    picture at all; `count` is the number of pictures.
    """

    def __init__(self, device: torch.device) -> None:
        self._loss = torch.zeros((), device=device)
        self._correct = torch.zeros((), device=device)
        self._is_finite = torch.ones((), dtype=torch.bool, device=device)
        self.count = 0

    @torch.no_grad()
    def add(self, logits: Tensor, targets: Tensor) -> None:
        """Logits (N, num_classes) against targets (N,); nothing changes where N is 0."""
        if not len(targets):
            return
        self._loss += F.cross_entropy(logits, targets) * len(targets)
        self._correct += (logits.argmax(1) == targets).sum()
        self._is_finite &= logits.isfinite().all()
        self.count += len(targets)

    def metrics(self) -> Metrics:
        if not self._is_finite.item():
            return Metrics(math.nan, math.nan)
        if not self.count:
            return Metrics(math.nan, math.nan)
        return Metrics(self._loss.item() / self.count, self._correct.item() / self.count)

    def state_dict(self) -> dict[str, Any]:
        """Numbers only, from which `load_state_dict` goes on to the same figures."""
        return {
            "loss": self._loss.item(),
            "correct": self._correct.item(),
            "is_finite": bool(self._is_finite.item()),
            "count": self.count,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises `LookupError`, `TypeError` or `ValueError` for what `state_dict` didn't make."""
        loss, correct, count = float(state["loss"]), float(state["correct"]), int(state["count"])
        self._is_finite.fill_(bool(state["is_finite"]))
        self._loss.fill_(loss)
        self._correct.fill_(correct)
        self.count = count


def metrics(logits: Tensor, targets: Tensor) -> Metrics:
    """Those of logits (N, num_classes) against targets (N,); see `Tally`."""
    tally = Tally(logits.device)
    tally.add(logits, targets)
    return tally.metrics()


@dataclass(frozen=True)
class Interval:
    """Where the accuracy on ever more pictures of the same kind lies, with 95 % confidence."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"95 %: {self.low:.4f} to {self.high:.4f}"


def interval(accuracy: float, count: int) -> Interval:
    """The 95 % interval of an accuracy that was measured on `count` pictures.

    It is Wilson's (1927, Probable Inference), which holds for few pictures and near 0 and 1 too;
    NaN for an accuracy of NaN. Without a picture nothing is known: 0 to 1.
    """
    if not count:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf(0.975)
    spread = z**2 / count
    middle = (accuracy + spread / 2) / (1 + spread)
    half = math.sqrt(accuracy * (1 - accuracy) * spread + spread**2 / 4) / (1 + spread)
    return Interval(max(middle - half, 0.0), min(middle + half, 1.0))


MOST_CONFUSED = 3
"""Pairs of classes that are named as hard to tell apart."""
UNLIKE = 2.0
"""Largest class to smallest, from which on classes are told one by one."""


@dataclass(frozen=True)
class ClassFigures:
    """Precision, recall and their harmonic mean F1, in [0, 1]; support is the number of pictures.

    A figure whose denominator is zero is 0.
    """

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Evaluation:
    """`confusion[i][j]` counts pictures of class i that were taken for class j."""

    loss: float
    accuracy: float
    confusion: list[list[int]]
    classes: list[ClassFigures]

    @property
    def count(self) -> int:
        """The number of pictures."""
        return sum(each.support for each in self.classes)

    @property
    def interval(self) -> Interval:
        return interval(self.accuracy, self.count)

    @property
    def balanced_accuracy(self) -> float:
        """The mean recall of the classes that have pictures: each class counts the same."""
        return mean(each.recall for each in self.classes if each.support)

    @property
    def is_unlike(self) -> bool:
        """Whether the classes differ so much in size that the accuracy hides the small ones."""
        sizes = [each.support for each in self.classes if each.support]
        return max(sizes) >= UNLIKE * min(sizes)

    @property
    def never_found(self) -> list[str]:
        """The classes no picture of which is recognised."""
        return [each.label for each in self.classes if each.support and not each.recall]

    def by_class(self) -> str:
        """Say, for people, how many pictures of each class were found, the worst first."""
        lines = [f"balanced accuracy {self.balanced_accuracy:.4f}, the mean recall of the classes"]
        for each in sorted(self.classes, key=lambda each: each.recall):
            if each.support:
                hits = round(each.recall * each.support) or "none"
                lines.append(
                    f"  {each.label}: {hits} of {each.support} found, recall {each.recall:.4f} "
                    f"({interval(each.recall, each.support)})"
                )
        return "\n".join(lines)

    def verdict(self) -> str | None:
        """What the accuracy hides, for people; None if nothing.

        Classes are told one by one where they differ in size, or one is never found.
        """
        lines = [self.by_class()] if self.is_unlike or self.never_found else []
        if self.never_found:
            lines.append(
                f"no picture of {', '.join(self.never_found)} is found: the accuracy says nothing "
                "about such pictures"
            )
        return "\n".join(lines) or None

    def told_apart(self) -> str:
        """Say, for people, which pairs of classes are confused most, and how well all others are
        told apart."""
        pairs = sorted(self._pairs(), key=lambda pair: -pair[0])
        told = [
            f"{one} and {other} ({share:.1%} of both are taken for each other)".replace("%", " %")
            for share, one, other in pairs[:MOST_CONFUSED]
            if share
        ]
        if not told:
            return "it tells all pairs of classes apart, on these pictures"
        rest = ""
        if len(pairs) > len(told):
            left = pairs[len(told)][0]
            at_most = f"every other pair: at most {left:.1%}".replace("%", " %")
            rest = f"; {at_most if left else 'no other pair is confused'}"
        return f"hardest to tell apart: {', '.join(told)}{rest}"

    def _pairs(self) -> list[tuple[float, str, str]]:
        """How often each two classes that have pictures are taken for each other."""
        found = []
        for i, one in enumerate(self.classes):
            for j, other in enumerate(self.classes[:i]):
                wrong = self.confusion[i][j] + self.confusion[j][i]
                if count := one.support + other.support:
                    found.append((wrong / count, other.label, one.label))
        return found

    def figures(self) -> dict[str, float]:
        """The figures of the test set by their names in a card."""
        found = {
            "test_accuracy": self.accuracy,
            "test_accuracy_95_low": self.interval.low,
            "test_accuracy_95_high": self.interval.high,
            "test_loss": self.loss,
            "test_pictures": float(self.count),
        }
        if self.is_unlike:
            found["test_balanced_accuracy"] = self.balanced_accuracy
        return found


def score(logits: Tensor, targets: Tensor, labels: tuple[str, ...]) -> Evaluation:
    """Figures for logits (N, num_classes) against targets (N,).

    Loss and accuracy are those of `Tally`.
    """
    found = metrics(logits, targets)
    predictions = logits.argmax(1)
    count = len(labels)
    pairs = torch.bincount(targets * count + predictions, minlength=count * count)
    confusion = pairs.view(count, count).cpu()
    hits, actual, predicted = confusion.diag(), confusion.sum(1), confusion.sum(0)
    return Evaluation(
        loss=found.loss,
        accuracy=found.accuracy,
        confusion=confusion.tolist(),
        classes=[
            ClassFigures(
                label=label,
                precision=_ratio(hits[i], predicted[i]),
                recall=_ratio(hits[i], actual[i]),
                f1=_ratio(2 * hits[i], actual[i] + predicted[i]),
                support=int(actual[i]),
            )
            for i, label in enumerate(labels)
        ],
    )


def accuracy_without(indices: Sequence[int], logits: Tensor, targets: Tensor) -> float | None:
    """The accuracy on the pictures that are left without these.

    None where it would be that of all pictures, or of none.
    """
    left = torch.ones(len(targets), dtype=torch.bool)
    left[list(indices)] = False
    if left.all() or not left.any():
        return None
    return (logits.argmax(1) == targets)[left].float().mean().item()


def _ratio(part: Tensor, whole: Tensor) -> float:
    return (part / whole).item() if whole else 0.0
