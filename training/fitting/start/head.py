"""The head of a network with frozen features: features (N, D) and targets → weight and bias.

The head is a logistic regression with a penalty on its weights. Several penalties are tried by
cross-validation, and the one is chosen whose predictions of left-out pictures have the lowest
cross-entropy. All is computed in float64 on the CPU, by one thread: the same features give the same
head, and threads would only wait for each other on matrices of this size (1.4 s by one thread, 38 s
by two on two busy cores, for the cross-validation of 20 pictures).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
FOLDS = 5
REPEATED_BELOW = 100  # pictures, below which the folds are drawn several times
REPEATS = 4
MOST_CROSSED = 2000  # pictures that cross-validation takes; more would only take longer
_MAX_STEPS = 300


@dataclass(frozen=True)
class Head:
    """A linear layer: `weight` (num_classes, D), `bias` (num_classes,); float64."""

    weight: Tensor
    bias: Tensor

    def logits(self, features: Tensor) -> Tensor:
        """Return the logits (N, num_classes) of features (N, D)."""
        return F.linear(features.double(), self.weight, self.bias)


@dataclass(frozen=True)
class Choice:
    """The penalty with the lowest cross-entropy, and the predictions of cross-validation with it.

    `pictures` (M,) are the indices of the predicted pictures. `logits` (M, num_classes) are
    predicted by heads that were fit without the picture, as the mean over the repetitions.
    """

    penalty: float
    logits: Tensor
    pictures: Tensor


@contextmanager
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
def fit(features: Tensor, targets: Tensor, class_weights: Tensor, penalty: float) -> Head:
    """Fit a head: minimise the weighted mean cross-entropy + penalty / 2 · Σ weight².

    `class_weights` (num_classes,) weigh the pictures of each class. With fewer pictures than D, the
    problem is solved in the space that they span, where the solution is the same.
    """
    mean = features.double().mean(0)
    points = features.double() - mean  # (N, D)
    span = None
    if len(points) < points.shape[1]:
        _, _, span = torch.linalg.svd(points, full_matrices=False)  # (N, D)
        points = points @ span.T  # (N, N)
    classes = len(class_weights)
    weight = points.new_zeros(classes, points.shape[1], requires_grad=True)
    bias = points.new_zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=_MAX_STEPS,
        tolerance_grad=1e-6,
        tolerance_change=1e-10,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(F.linear(points, weight, bias), targets, class_weights.double())
        value = value + penalty / 2 * weight.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    found = weight.detach() if span is None else weight.detach() @ span
    return Head(found, bias.detach() - found @ mean)


@one_thread()
def choose(
    features: Tensor,
    targets: Tensor,
    class_weights: Tensor,
    seed: int,
    versions: Tensor | None = None,
) -> Choice:
    """Choose the penalty by stratified cross-validation.

    Pictures with the same number in `versions` (N,) are left out together (`ImageSet.versions`);
    None means that no two are versions of one.

    A class with one picture is predicted by heads that never saw it, so its picture counts as
    wrong. Few pictures are split several times, since one split depends on chance.
    """
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.randperm(len(targets), generator=generator)[:MOST_CROSSED].sort().values
    features, targets = features[pictures], targets[pictures]
    alike = pictures if versions is None else versions[pictures]
    repeats = REPEATS if len(targets) < REPEATED_BELOW else 1
    splits = [_folds(targets, alike, generator) for _ in range(repeats)]
    best: Choice | None = None
    lowest = math.inf
    for penalty in PENALTIES:
        logits = torch.stack(
            [_left_out(features, targets, class_weights, penalty, folds) for folds in splits]
        ).mean(0)
        loss = F.cross_entropy(logits, targets, class_weights.double()).item()
        if best is None or loss < lowest:
            best, lowest = Choice(penalty, logits, pictures), loss
    assert best is not None  # noqa: S101 (there are penalties)
    return best


def _folds(targets: Tensor, versions: Tensor, generator: torch.Generator) -> Tensor:
    """Return the fold of each picture (N,); the folds have nearly the same share of every class.

    All versions of a picture are in one fold.
    """
    _, firsts, own = np.unique(versions, return_index=True, return_inverse=True)
    return _folds_of_each(targets[torch.from_numpy(firsts)], generator)[torch.from_numpy(own)]


def _folds_of_each(targets: Tensor, generator: torch.Generator) -> Tensor:
    folds = torch.empty_like(targets)
    start = 0
    for target in targets.unique().tolist():
        members = (targets == target).nonzero().flatten()
        order = members[torch.randperm(len(members), generator=generator)]
        folds[order] = (torch.arange(len(members)) + start) % FOLDS
        start += len(members)  # the next class begins where this one ended: folds of equal size
    return folds


def _left_out(
    features: Tensor, targets: Tensor, class_weights: Tensor, penalty: float, folds: Tensor
) -> Tensor:
    """Logits (N, num_classes) of each picture by the head that was fit on the other folds."""
    logits = torch.zeros(len(targets), len(class_weights), dtype=torch.float64)
    for fold in folds.unique().tolist():
        out = folds == fold
        fitted = fit(features[~out], targets[~out], class_weights, penalty)
        logits[out] = fitted.logits(features[out])
    return logits
