"""Confusion matrices."""

import numpy as np
from matplotlib.figure import Figure

from training.fitting.evaluation import Evaluation
from training.plots.figures import heading, png
from training.plots.lettering import lettering, short, width

_MOST_COUNTED = 30  # classes whose counts can still be read
_MOST_NAMED = 100
_MAX_LABEL = 2.4  # inches
_ROOM = 2.4  # inches for the titles of the axes and the scale


def confusion(evaluation: Evaluation, title: str) -> bytes:
    """The confusion matrix; rows are what pictures show.

    The colour is the share of the row, so that classes of different sizes compare. Counts are
    written for up to 30 classes, labels for up to 100.
    """
    counts = np.array(evaluation.confusion)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    counted, named = len(counts) <= _MOST_COUNTED, len(counts) <= _MOST_NAMED
    names = [figures.label for figures in evaluation.classes] if named else []
    size, turn, align = ("medium", 45, "right") if counted else ("x-small", 90, "center")
    with lettering(title, *names):
        labels = [short(name, _MAX_LABEL, size) for name in names]
        longest = max((width(label, size) for label in labels), default=0.0)
        side = _ROOM + longest + 0.6 * min(len(counts), _MOST_COUNTED)
        figure = Figure(figsize=(side + 1, side), layout="compressed")
        heading(figure, title)
        axes = figure.subplots()
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        figure.colorbar(image, ax=axes, shrink=0.8, label="share of the actual class")
        axes.set(xlabel="predicted", ylabel="actual")
        if named:
            axes.set_xticks(range(len(labels)), labels, rotation=turn, ha=align, fontsize=size)
            axes.set_yticks(range(len(labels)), labels, fontsize=size)
        for (row, column), count in np.ndenumerate(counts if counted else counts[:0]):
            color = "white" if shares[row, column] > 0.5 else "black"
            text = axes.text(column, row, str(count), ha="center", va="center", color=color)
            text.set_in_layout(False)  # inside of the axes
        return png(figure)
