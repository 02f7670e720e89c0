"""Answers of made-up networks, for the tests of trust."""

import torch
from torch import Tensor

from models.trust import Answers, Fitted, Trust, fit

CLASSES, WIDTH = 3, 8
_CENTERS = 4 * torch.eye(CLASSES, WIDTH)


def answers(count: int, seed: int = 0, shift: float = 0.0, sharpness: float = 4.0) -> Answers:
    """Features around the center of each class, and logits that are too sure by `sharpness`.

    `shift` moves the features to where no class is.
    """
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(CLASSES, (count,), generator=generator)
    features = _CENTERS[targets] + 1.5 * torch.randn(count, WIDTH, generator=generator)
    logits = features[:, :CLASSES] * 4 / 1.5**2 * sharpness
    moved = features.clone()
    moved[:, CLASSES:] += shift
    return Answers(logits, moved, targets)


def fitted(count: int = 600, seed: int = 1) -> Fitted:
    return fit(answers(count, seed), "made up", answers(2000, seed=2))


def trust(count: int = 600, seed: int = 1) -> Trust:
    found = fitted(count, seed).trust
    assert found is not None
    return found


def features_of(found: Answers) -> Tensor:
    assert found.features is not None
    return found.features
