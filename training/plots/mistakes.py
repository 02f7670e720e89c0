"""Plot of pictures with wrong predictions."""

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
    """Draw uint8 pictures (N, C, H, W), each below its name, label, prediction and score.

    Without pictures, only the title is drawn. Returns a PNG.
    """
    with lettering(title, *actual, *predicted, *names):
        shown = zip(names, actual, predicted, scores, strict=True)
        captions = [
            Caption((is_class, f"as {taken_for}"), name, f"{score:.2f}")
            for name, is_class, taken_for, score in shown
        ]
        return captioned(images, captions, title)
