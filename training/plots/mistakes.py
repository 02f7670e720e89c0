"""Pictures that were taken for another class."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from torch import Tensor

from training.plots.figures import heading, pixels, png
from training.plots.lettering import lettering, short

_COLUMNS = 5
_WIDTH = 2.2  # inches of a column
_MAX_LABEL = 1.8  # inches of a label or a name


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
        rows = -(-len(images) // _COLUMNS)
        figure = Figure(figsize=(_WIDTH * _COLUMNS, 2.8 * rows + 0.5), layout="compressed")
        heading(figure, title)
        if not rows:
            return png(figure)
        grid = figure.subplots(rows, _COLUMNS, squeeze=False).flatten()
        for axes in grid:
            axes.set_axis_off()
        shown = zip(images, names, actual, predicted, scores, strict=True)
        for axes, (image, name, is_class, taken_for, score) in zip(grid, shown, strict=False):
            axes.imshow(pixels(image), cmap="gray", vmin=0, vmax=255)
            lines = (
                short(name, _MAX_LABEL, "small"),
                short(is_class, _MAX_LABEL, "small"),
                f"as {short(taken_for, _MAX_LABEL, 'small')}",
                f"{score:.2f}",
            )
            axes.set_title("\n".join(lines), fontsize="small")
        return png(figure)
