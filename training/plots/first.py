"""Plot of the first pictures of a set with their predictions."""

from collections.abc import Sequence

from torch import Tensor

from training.plots.captioned import Caption, captioned
from training.plots.text.lettering import lettering

_WRONG = "tab:red"


def first(images: Tensor, actual: Sequence[str], predicted: Sequence[str], title: str) -> bytes:
    """Draw uint8 pictures (N, C, H, W), each below its label and its prediction; returns a PNG.

    The texts of wrong predictions are red.
    """
    with lettering(title, *actual, *predicted):
        captions = [
            Caption((one, f"as {other}"), color="black" if one == other else _WRONG)
            for one, other in zip(actual, predicted, strict=True)
        ]
        return captioned(images, captions, title)
