"""A second look, at the mirrored image, where the first leaves the network unsure.

    logits of the first look → which images are due → the network, mirrored images → logits

The logits of an image that was looked at twice are the mean of both looks. Test-time augmentation
for all images (Krizhevsky et al. 2012) costs as much again; most of what it gains lies in the few
images that the network is unsure of.
"""

from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat
from torch import Tensor

from models.trust import calibration

METRIC = "test_accuracy_with_second_look"  # of the card
PART = 0.05  # of calibration images that get a second look

Logits = NDArray[np.float32]
Share = Annotated[FiniteFloat, Field(ge=0, le=1)]


class SecondLook(BaseModel):
    """The rule by which a network looks at an image twice, as it is and mirrored.

    It does so where its first answer is not sure; then the answer is the mean of both.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    below: Share = Field(
        description="images whose top softmax probability, not calibrated, is below it"
    )
    part: Share = Field(description="part of the calibration images that are")

    def answer(self, first: Logits, look: Callable[[NDArray[np.bool_]], Logits]) -> Logits:
        """Return the logits (N, K) of a batch after the second look; `first` are of the first.

        `look(due)` gives the logits of the mirrored images where `due` (N,) is true, in order. It
        is not called if none is due. Where its logits are not finite, those of the first look are
        kept.
        """
        due = _top(first) < self.below
        if not due.any():
            return first
        logits = first.copy()
        mean = (first[due] + look(due)) / 2
        is_finite = np.isfinite(mean).all(1, keepdims=True)
        logits[due] = np.where(is_finite, mean, first[due])
        return logits


def choose(first: Tensor, mirrored: Tensor, targets: Tensor) -> SecondLook | None:
    """Choose the rule of the second look for a network; None if it doesn't pay.

    `first` and `mirrored` are logits (N, K) of calibration images and of the same mirrored, on the
    CPU. It pays where the cross-fitted probabilities of the targets (N,) get better by more than
    chance explains.
    """
    top = _top(first.numpy())
    below = float(np.quantile(top, PART))
    look = SecondLook(below=below, part=round(float((top < below).mean()), 4))
    second = torch.from_numpy(look.answer(first.numpy(), lambda due: mirrored.numpy()[due]))
    after, before = (calibration.cross_fitted(logits, targets) for logits in (second, first))
    return look if calibration.is_better(after, before, targets) else None


def _top(logits: Logits) -> NDArray[np.float32]:
    """Return the top softmax probability of each image (N,)."""
    top: NDArray[np.float32] = 1 / np.exp(logits - logits.max(1, keepdims=True)).sum(1)
    return top
