"""Scores of classes, logits or probabilities, beside the classes that are right."""

from torch import Tensor


def is_right(scores: Tensor, targets: Tensor) -> Tensor:
    """Return for each row of scores (N, num_classes) whether its highest is that of the target.

    `targets` (N,) are indices of classes on the same device; the result is (N,), bool.
    """
    return scores.argmax(1) == targets
