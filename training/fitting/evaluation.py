"""Evaluation of a classifier: logits and targets → confusion matrix → figures, also by class."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, mean
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from models.scores import is_right


@dataclass(frozen=True)
class Metrics:
    """Mean cross-entropy in nats, and the fraction of pictures whose top class is the right one."""

    loss: float
    accuracy: float


class Tally:
    """Sums of loss and accuracy over batches.

    The sums stay on the device of the batches: reading one would wait for the device. `count` is
    the number of pictures. Loss and accuracy are NaN without pictures, and if a logit was not
    finite: the top class means nothing then.
    """

    def __init__(self, device: torch.device) -> None:
        self._loss = torch.zeros((), device=device)
        self._correct = torch.zeros((), device=device)
        self._is_finite = torch.ones((), dtype=torch.bool, device=device)
        self.count = 0

    @torch.no_grad()
    def add(self, logits: Tensor, targets: Tensor) -> None:
        """Add a batch of logits (N, num_classes) and targets (N,); does nothing if N is 0."""
        if not len(targets):
            return
        self._loss += F.cross_entropy(logits, targets) * len(targets)
        self._correct += is_right(logits, targets).sum()
        self._is_finite &= logits.isfinite().all()
        self.count += len(targets)

    def summed(self, add_up: Callable[[Tensor], Tensor]) -> Self:
        """Return the tally of several processes; `add_up` returns the sum of a tensor over them."""
        own = (self._loss, self._correct, ~self._is_finite, torch.tensor(self.count))
        device = self._loss.device
        total = add_up(torch.stack([each.to(device, torch.float64) for each in own]))
        tally = type(self)(device)
        tally._loss, tally._correct = total[0], total[1]
        tally._is_finite, tally.count = total[2] == 0, int(total[3].item())
        return tally

    def metrics(self) -> Metrics:
        if not self._is_finite.item():
            return Metrics(math.nan, math.nan)
        if not self.count:
            return Metrics(math.nan, math.nan)
        return Metrics(self._loss.item() / self.count, self._correct.item() / self.count)

    def state_dict(self) -> dict[str, Any]:
        """Return the sums as plain numbers, from which `load_state_dict` continues."""
        return {
            "loss": self._loss.item(),
            "correct": self._correct.item(),
            "is_finite": bool(self._is_finite.item()),
            "count": self.count,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from the sums of a `state_dict`.

        Raises `LookupError`, `TypeError` or `ValueError` for other content.
        """
        loss, correct, count = float(state["loss"]), float(state["correct"]), int(state["count"])
        self._is_finite.fill_(bool(state["is_finite"]))
        self._loss.fill_(loss)
        self._correct.fill_(correct)
        self.count = count


def metrics(logits: Tensor, targets: Tensor) -> Metrics:
    """Return loss and accuracy of logits (N, num_classes) for targets (N,); see `Tally`."""
    tally = Tally(logits.device)
    tally.add(logits, targets)
    return tally.metrics()


@dataclass(frozen=True)
class Interval:
    """The 95 % confidence interval of the accuracy on all pictures of the same kind."""

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
"""Most pairs of classes that are named as hard to tell apart."""
UNLIKE = 2.0
"""Size of the largest class to the smallest, from which on the figures of each class are shown."""


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
    """The figures of a classifier on a set of pictures, as a whole and by class.

    `confusion[i][j]` counts pictures of class i that were predicted as class j.
    """

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
        """The labels of the classes that have pictures, all of which are predicted as other
        classes."""
        return [each.label for each in self.classes if each.support and not each.recall]

    def by_class(self) -> str:
        """Describe how many pictures of each class were recognised, the worst class first."""
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
        """Describe classes whose results the accuracy hides; None if there are none.

        All classes are listed if they differ much in size, or if one is never recognised.
        """
        lines = [self.by_class()] if self.is_unlike or self.never_found else []
        if self.never_found:
            lines.append(
                f"no picture of {', '.join(self.never_found)} is found: the accuracy says nothing "
                "about such pictures"
            )
        return "\n".join(lines) or None

    def told_apart(self) -> str:
        """Name the pairs of classes that are confused most, and the highest share of confusion in
        the others."""
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
        """Return each pair of classes that have pictures, with the share of both that is
        confused."""
        found = []
        for i, one in enumerate(self.classes):
            for j, other in enumerate(self.classes[:i]):
                wrong = self.confusion[i][j] + self.confusion[j][i]
                if count := one.support + other.support:
                    found.append((wrong / count, other.label, one.label))
        return found

    def figures(self) -> dict[str, float]:
        """Return the figures of the test set by their names in a card."""
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
    """Return the accuracy on the pictures that are not at these indices.

    Returns None if no picture is left, or none is left out.
    """
    left = torch.ones(len(targets), dtype=torch.bool)
    left[list(indices)] = False
    if left.all() or not left.any():
        return None
    return metrics(logits[left], targets[left]).accuracy


def _ratio(part: Tensor, whole: Tensor) -> float:
    return (part / whole).item() if whole else 0.0
