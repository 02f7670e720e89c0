"""How good a classifier is, class by class: logits and targets → confusion matrix → figures."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


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

    Loss and accuracy are NaN where the logits aren't finite: the top class means nothing there.
    """
    predictions = logits.argmax(1)
    count = len(labels)
    pairs = torch.bincount(targets * count + predictions, minlength=count * count)
    confusion = pairs.view(count, count).cpu()
    hits, actual, predicted = confusion.diag(), confusion.sum(1), confusion.sum(0)
    finite = bool(logits.isfinite().all())
    return Evaluation(
        loss=F.cross_entropy(logits, targets).item() if finite else math.nan,
        accuracy=(hits.sum() / confusion.sum()).item() if finite else math.nan,
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
