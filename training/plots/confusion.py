"""Confusion matrices."""

import numpy as np
from matplotlib.figure import Figure

from training.fitting.evaluation import Evaluation
from training.plots.figures import heading, png
from training.plots.text.lettering import lettering, rows

_MOST_COUNTED = 30  # classes whose counts can still be read
_MOST_NAMED = 100
_CELL = 0.6  # inches, where counts are written
_TURNED = 2.4  # inches of labels that are turned by half a right angle; longer ones stand upright
_ROOM = 2.4  # inches for the titles of the axes and the scale


def confusion(evaluation: Evaluation, title: str) -> bytes:
    """Draw the confusion matrix: rows are actual classes, columns predicted ones; returns a PNG.

    The colour is the share of the row, so that classes of different sizes can be compared. Counts
    are written for up to 30 classes, labels for up to 100. The figure grows with its labels, which
    are broken into lines rather than cut.
    """
    counts = np.array(evaluation.confusion)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    counted, named = len(counts) <= _MOST_COUNTED, len(counts) <= _MOST_NAMED
    names = [figures.label for figures in evaluation.classes] if named else []
    size = "medium" if counted else "x-small"
    with lettering(title, *names):
        cell = _CELL if counted else _CELL * _MOST_COUNTED / len(counts)
        labels, longest, cell = rows(names, cell, size)
        side = _ROOM + longest + cell * len(counts)
        figure = Figure(figsize=(side + 1, side), layout="compressed")
        heading(figure, title)
        axes = figure.subplots()
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        figure.colorbar(image, ax=axes, shrink=0.8, label="share of the actual class")
        axes.set(xlabel="predicted", ylabel="actual")
        if named:
            turned = counted and longest <= _TURNED and not any("\n" in each for each in labels)
            turn, align = (45, "right") if turned else (90, "center")
            axes.set_xticks(range(len(labels)), labels, rotation=turn, ha=align, fontsize=size)
            axes.set_yticks(range(len(labels)), labels, fontsize=size, multialignment="right")
        for (row, column), count in np.ndenumerate(counts if counted else counts[:0]):
            color = "white" if shares[row, column] > 0.5 else "black"
            text = axes.text(column, row, str(count), ha="center", va="center", color=color)
            text.set_in_layout(False)  # inside of the axes
        return png(figure)
