"""Pictures of a training: histories and confusion matrices as PNG."""

from collections.abc import Sequence
from io import BytesIO

from matplotlib import rc_context
from matplotlib.figure import Figure

from training.evaluation import Evaluation
from training.loop import Epoch

_plain_text = rc_context({"text.parse_math": False})  # a $ in a label is a $


@_plain_text
def curves(history: Sequence[Epoch], title: str, selected: Epoch | None = None) -> bytes:
    """Loss and accuracy of both sets over the epochs, side by side."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    figure.suptitle(title)
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for split in ("train", "validation"):
            points = [
                (epoch.number, getattr(metrics, name))
                for epoch in history
                if (metrics := getattr(epoch, split)) is not None
            ]
            if points:
                axes.plot(*zip(*points, strict=True), label=split, marker=".")
        if selected is not None:
            axes.axvline(selected.number, color="grey", linestyle=":", label="selected")
        axes.set(xlabel="epoch", ylabel=name)
        axes.grid(alpha=0.3)
        axes.legend()
    return _png(figure)


@_plain_text
def confusion(evaluation: Evaluation, title: str) -> bytes:
    """The confusion matrix with its counts; rows are what the pictures show."""
    labels = [figures.label for figures in evaluation.classes]
    side = 2.5 + 0.6 * len(labels)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(evaluation.confusion, cmap="Blues")
    axes.set(title=title, xlabel="predicted", ylabel="actual")
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    brightest = max(map(max, evaluation.confusion))
    for row, counts in enumerate(evaluation.confusion):
        for column, count in enumerate(counts):
            color = "white" if count > brightest / 2 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=color)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
