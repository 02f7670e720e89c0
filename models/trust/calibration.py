"""Temperature scaling, and the difference between probabilities and frequencies.

logits (N, K), targets (N,) → temperature → softmax(logits / temperature)
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

BINS = 15
FOLDS = 5
_LEAST, _LARGEST = 0.05, 20.0  # of temperatures
_STEPS = 60  # of the golden section: the interval shrinks to 3e-13 of its length
_GOLDEN = (math.sqrt(5) - 1) / 2


def probabilities(logits: Tensor, temperature: float) -> Tensor:
    """Return softmax(logits / temperature), float32 (N, K)."""
    return F.softmax(logits.float() / temperature, dim=1)


def temperature(logits: Tensor, targets: Tensor) -> float:
    """Return the temperature with the lowest cross-entropy (Guo et al. 2017), in [0.05, 20].

    For n images, the targets are smoothed by 1 / (n + 1), as in Platt (1999): if every answer is
    right, the probabilities stop below 1, at what n images can show. The cross-entropy is convex in
    1 / temperature, so a golden-section search finds its minimum.
    """
    logits = logits.double()
    smoothing = 1 / (len(targets) + 1)

    def loss(inverse: float) -> float:
        return F.cross_entropy(logits * inverse, targets, label_smoothing=smoothing).item()

    low, high = 1 / _LARGEST, 1 / _LEAST
    for _ in range(_STEPS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if loss(left) <= loss(right):
            high = right
        else:
            low = left
    return 2 / (low + high)


def calibration_error(probabilities: Tensor, targets: Tensor) -> float:
    """Return the expected calibration error of the top probability (Naeini et al. 2015; Guo et al.
    2017).

    The mean over images of |accuracy - mean top probability| of the image's bin; `BINS` bins of
    equal width, each with its upper edge.
    """
    bins = reliability(probabilities, targets)
    gaps = (bins[:, 1] - bins[:, 2]).abs() * bins[:, 0]
    return float(gaps.sum() / bins[:, 0].sum())


def reliability(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Return (`BINS`, 3), float64: images in each bin, their accuracy, their mean top probability.

    The bins are those of `calibration_error`; an empty one has zeros.
    """
    top, predicted = probabilities.double().max(1)
    edges = torch.linspace(0, 1, BINS + 1, dtype=torch.float64)[1:-1].to(top.device)
    at = torch.bucketize(top, edges)
    count = torch.zeros(BINS, dtype=torch.float64, device=top.device)
    right, sure = count.clone(), count.clone()
    count.index_add_(0, at, torch.ones_like(top))
    right.index_add_(0, at, (predicted == targets).double())
    sure.index_add_(0, at, top)
    whole = count.clamp(min=1)
    return torch.stack([count, right / whole, sure / whole], 1).cpu()


def cross_fitted(logits: Tensor, targets: Tensor) -> Tensor:
    """Return each image's probabilities (N, K) with a temperature fitted on the other folds."""
    found = torch.empty(logits.shape, dtype=torch.float32)
    folds = folds_of(targets)
    for fold in range(FOLDS):
        out = folds == fold
        if out.any() and not out.all():
            found[out] = probabilities(logits[out], temperature(logits[~out], targets[~out]))
        elif out.any():
            found[out] = probabilities(logits[out], 1.0)
    return found


def is_better(probabilities: Tensor, than: Tensor, targets: Tensor) -> bool:
    """Return whether the log-probabilities of the targets rise by more than chance explains.

    The mean rise must be above its standard error (the rule of one standard error, Breiman et al.
    1984): a temperature fitted on few images may do harm.
    """
    one, other = (each.double().gather(1, targets[:, None]) for each in (probabilities, than))
    rise = (one.clamp(min=1e-12).log() - other.clamp(min=1e-12).log()).squeeze(1)
    error = rise.std(correction=0) / math.sqrt(len(rise))
    return bool(rise.mean() > error)


def folds_of(targets: Tensor) -> Tensor:
    """Return the number of each image's fold (N,); folds have nearly the same part of each class.

    The images must be in random order within each class, or in one that means nothing.
    """
    order = targets.argsort(stable=True)
    folds = torch.empty_like(targets)
    folds[order] = torch.arange(len(targets), device=targets.device) % FOLDS
    return folds


def label_scores(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Return minus the right label's probability (N,): the scores of LAC (Sadinle et al. 2019)."""
    return -probabilities.gather(1, targets[:, None]).squeeze(1)
