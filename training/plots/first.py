"""The first pictures of a set, right or wrong."""

from collections.abc import Sequence

from torch import Tensor

from training.plots.captioned import Caption, captioned
from training.plots.text.lettering import lettering

_WRONG = "tab:red"


def first(images: Tensor, actual: Sequence[str], predicted: Sequence[str], title: str) -> bytes:
    """uint8 pictures (N, C, H, W), and over each what it is and what it was taken for.

    Where these differ, they are red.
    """
    with lettering(title, *actual, *predicted):
        captions = [
            Caption((one, f"as {other}"), color="black" if one == other else _WRONG)
            for one, other in zip(actual, predicted, strict=True)
        ]
        return captioned(images, captions, title)
