"""How good a classifier is, class by class: logits and targets → confusion matrix → figures."""

import math
from dataclasses import dataclass

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

    They are NaN if a logit was not finite: the top class means nothing then.
    """

    def __init__(self, device: torch.device) -> None:
        self._loss = torch.zeros((), device=device)
        self._correct = torch.zeros((), device=device)
        self._is_finite = torch.ones((), dtype=torch.bool, device=device)
        self._count = 0

    @torch.no_grad()
    def add(self, logits: Tensor, targets: Tensor) -> None:
        """Logits (N, num_classes) against targets (N,)."""
        self._loss += F.cross_entropy(logits, targets) * len(targets)
        self._correct += (logits.argmax(1) == targets).sum()
        self._is_finite &= logits.isfinite().all()
        self._count += len(targets)

    def metrics(self) -> Metrics:
        if not self._is_finite.item():
            return Metrics(math.nan, math.nan)
        return Metrics(self._loss.item() / self._count, self._correct.item() / self._count)


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


def score(logits: Tensor, targets: Tensor, labels: tuple[str, ...]) -> Evaluation:
    """Figures for logits (N, num_classes) against targets (N,).

    Loss and accuracy are those of `Tally`.
    """
    tally = Tally(logits.device)
    tally.add(logits, targets)
    metrics = tally.metrics()
    predictions = logits.argmax(1)
    count = len(labels)
    pairs = torch.bincount(targets * count + predictions, minlength=count * count)
    confusion = pairs.view(count, count).cpu()
    hits, actual, predicted = confusion.diag(), confusion.sum(1), confusion.sum(0)
    return Evaluation(
        loss=metrics.loss,
        accuracy=metrics.accuracy,
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


def _ratio(part: Tensor, whole: Tensor) -> float:
    return (part / whole).item() if whole else 0.0
