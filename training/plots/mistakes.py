"""Pictures that were taken for another class."""

from collections.abc import Sequence

from torch import Tensor

from training.plots.captioned import Caption, captioned
from training.plots.text.lettering import lettering


def mistakes(
    images: Tensor,
    actual: Sequence[str],
    predicted: Sequence[str],
    scores: Sequence[float],
    title: str,
    names: Sequence[str],
) -> bytes:
    """uint8 pictures (N, C, H, W), and over each its name, what it is and what it was taken for.

    Without pictures there is the title alone.
    """
    with lettering(title, *actual, *predicted, *names):
        shown = zip(names, actual, predicted, scores, strict=True)
        captions = [
            Caption((is_class, f"as {taken_for}"), name, f"{score:.2f}")
            for name, is_class, taken_for, score in shown
        ]
        return captioned(images, captions, title)
