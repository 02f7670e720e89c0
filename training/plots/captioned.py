"""Pictures in rows of five, each below its caption: the form of mistakes and of first pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from torch import Tensor

from training.plots.figures import heading, pixels, png
from training.plots.text.lettering import height, short, wrapped

COLUMNS = 5
SIZE = "small"
_WIDTHS = (1.8, 2.6, 3.6, 5.6)  # inches that a line of a caption may take
_BETWEEN = 0.4  # inches between columns
_FEW = 3  # lines of a label, for which no wider column is taken
_PICTURE = 2.0  # inches of a picture's height, and of the space around it


@dataclass(frozen=True)
class Caption:
    """A caption of several lines: the name of a file, the labels, and a last line.

    The name is shortened to one line, and labels are broken into lines; name and last line may be
    None.
    """

    labels: Sequence[str]
    name: str | None = None
    last: str | None = None
    color: str = "black"

    def lines(self, inches: float) -> str:
        first = [] if self.name is None else [short(self.name, inches, SIZE)]
        last = [] if self.last is None else [self.last]
        return "\n".join([*first, *(wrapped(each, inches, SIZE) for each in self.labels), *last])


def captioned(images: Tensor, captions: Sequence[Caption], title: str) -> bytes:
    """Draw uint8 pictures (N, C, H, W) below their captions; without pictures, the title alone.

    Columns get wider and rows higher if the labels need it. A label that fills more than six lines
    of the widest column is shortened.
    """
    inches = _width([label for caption in captions for label in caption.labels])
    texts = [caption.lines(inches) for caption in captions]
    rows = [texts[start : start + COLUMNS] for start in range(0, len(texts), COLUMNS)]
    heights = [_PICTURE + max(height(text, SIZE) for text in row) for row in rows]
    width = COLUMNS * (inches + _BETWEEN)
    figure = Figure(figsize=(width, sum(heights) + 0.5), layout="constrained")
    heading(figure, title)
    if not rows:
        return png(figure)
    grid = figure.subplots(len(rows), COLUMNS, squeeze=False, height_ratios=heights).flatten()
    for axes in grid:
        axes.set_axis_off()
    for axes, image, text, caption in zip(grid, images, texts, captions, strict=False):
        axes.imshow(pixels(image), cmap="gray", vmin=0, vmax=255)
        axes.set_title(text, fontsize=SIZE, color=caption.color)
    return png(figure)


def _width(labels: Sequence[str]) -> float:
    """The smallest width with which no label takes more than a few lines, or the largest."""

    def are_few(inches: float) -> bool:
        return all(wrapped(label, inches, SIZE).count("\n") < _FEW for label in labels)

    return next(filter(are_few, _WIDTHS), _WIDTHS[-1])
