"""Confusion matrices."""

import numpy as np
from matplotlib.figure import Figure

from training.fitting.evaluation import Evaluation
from training.plots.figures import heading, plain_text, png, short

_MOST_COUNTED = 30  # classes whose counts can still be read
_MOST_NAMED = 100
_MAX_LABEL_LENGTH = 24  # letters of a label


@plain_text
def confusion(evaluation: Evaluation, title: str) -> bytes:
    """The confusion matrix; rows are what pictures show.

    The colour is the share of the row, so that classes of different sizes compare. Counts are
    written for up to 30 classes, labels for up to 100.
    """
    labels = [short(figures.label, _MAX_LABEL_LENGTH) for figures in evaluation.classes]
    counts = np.array(evaluation.confusion)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    room = 2.4 + 0.08 * max(map(len, labels))  # for labels and the title, in inches
    side = room + 0.6 * min(len(labels), _MOST_COUNTED)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    heading(figure, title)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the actual class")
    axes.set(xlabel="predicted", ylabel="actual")
    counted = len(labels) <= _MOST_COUNTED
    if len(labels) <= _MOST_NAMED:
        size, turn = ("medium", 45) if counted else ("x-small", 90)
        align = "right" if counted else "center"
        axes.set_xticks(range(len(labels)), labels, rotation=turn, ha=align, fontsize=size)
        axes.set_yticks(range(len(labels)), labels, fontsize=size)
    for (row, column), count in np.ndenumerate(counts if counted else counts[:0]):
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=color)
    return png(figure)
