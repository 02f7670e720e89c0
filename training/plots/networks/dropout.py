"""Plot of the effect of dropout: units before it, in some draws and on average; probabilities."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from training.activations.dropout import SHOWN, Demonstration, Drawn
from training.plots.figures import further_lines, headline, png
from training.plots.text.lettering import height, lettering, short, width, wrapped

_WIDTH, _LEFT, _MARGIN = 12.0, 1.3, 0.3  # inches
_ROW, _TITLE = 0.3, 0.5
_CLASSES = 10
_MAX_LABEL = 4.0
_DROPPED = "lightcoral"


def dropout(found: Demonstration, labels: Sequence[str], title: str) -> bytes:
    """Draw a table of units for each dropout layer, and the probabilities below; returns a PNG.

    The rows of a table are the values before dropout, in some draws, their mean over all draws, and
    in evaluation. Dropped values are red. The points are the probabilities of the draws, and the
    vertical lines those of evaluation.
    """
    order = found.evaluated.argsort(descending=True)[:_CLASSES].tolist()
    names = [labels[index] for index in order]
    with lettering(title, *names, *(layer.name for layer in found.layers)):
        lines = [wrapped(name, _MAX_LABEL, "small") for name in names]
        rows = [max(height(text, "small") + 0.1, 0.25) for text in lines]
        text = headline(title, _WIDTH)
        top = further_lines(text) + 0.4
        tables = [_ROW * (4 + min(SHOWN, len(layer.behind))) for layer in found.layers]
        tall = top + sum(_TITLE + each for each in tables) + _TITLE + sum(rows) + 0.7
        figure = Figure(figsize=(_WIDTH, tall))
        figure.suptitle(text, y=1 - 0.12 / tall, va="top", fontsize="large")

        def place(left: float, top: float, wide: float, high: float) -> Axes:
            box = (left / _WIDTH, 1 - (top + high) / tall, wide / _WIDTH, high / tall)
            return figure.add_axes(box)

        for layer, inches in zip(found.layers, tables, strict=True):
            top += _TITLE
            _table(place(_LEFT, top, _WIDTH - _LEFT - _MARGIN, inches), layer)
            top += inches
        beside = max(width(line, "small") for each in lines for line in each.split("\n")) + 0.3
        axes = place(beside, top + _TITLE, _WIDTH - beside - _MARGIN, sum(rows))
        _probabilities(axes, found, order, lines, rows)
        return png(figure)


def _table(axes: Axes, layer: Drawn) -> None:
    shown = layer.behind[:SHOWN]
    rows = {"unit": list(layer.places), "before": _written(layer.before)}
    rows |= {f"draw {number}": _written(each) for number, each in enumerate(shown, start=1)}
    rows |= {f"mean of {len(layer.behind):,}": _written(layer.means)}
    rows |= {"evaluation": _written(layer.evaluated)}
    for down, (name, cells) in enumerate(rows.items()):
        axes.text(-0.01, down + 0.5, name, ha="right", va="center", fontsize="small")
        for across, cell in enumerate(cells):
            middle = (across + 0.5) / len(cells)
            axes.text(middle, down + 0.5, cell, ha="center", va="center", fontsize="small")
    for down, across in np.argwhere((shown == 0).numpy()):
        ends = [across / len(layer.places), (across + 1) / len(layer.places)]
        axes.fill_between(ends, down + 2, down + 3, color=_DROPPED)
    axes.hlines(range(len(rows) + 1), 0, 1, color="lightgrey", linewidth=0.8)
    axes.set(xlim=(0, 1), ylim=(len(rows), 0))
    axes.set_axis_off()
    dropped = f"{100 * layer.dropped:.1f} % of these in the draws"
    after = f" ({layer.kind}), p {layer.p:g}: dropped {dropped}"
    if layer.p < 1:
        after += f", the others × {1 / (1 - layer.p):.4g}"
    room = _WIDTH - _LEFT - _MARGIN - width(after, "medium")
    axes.set_title(short(layer.name, room, "medium") + after, loc="left", fontsize="medium")


def _probabilities(
    axes: Axes,
    found: Demonstration,
    order: Sequence[int],
    lines: Sequence[str],
    rows: Sequence[float],
) -> None:
    middles = np.cumsum(rows) - np.array(rows) / 2
    for middle, index in zip(middles, order, strict=True):
        draws = found.drawn[:, index].numpy()
        axes.plot(draws, np.full(len(draws), middle), ".", color="tab:blue", alpha=0.25)
        value = float(found.evaluated[index])
        axes.vlines(value, middle - 0.1, middle + 0.1, color="black", linewidth=2)
    axes.set_yticks(middles.tolist(), list(lines), fontsize="small")
    axes.set(xlim=(-0.01, 1.01), ylim=(sum(rows), 0), xlabel="probability")
    axes.tick_params(axis="x", labelsize="small")
    likely = found.drawn.argmax(1)
    same = float((likely == found.evaluated.argmax()).float().mean())
    axes.set_title(
        f"probabilities of {len(found.drawn):,} draws (points) and of evaluation (lines); "
        f"{100 * same:.1f} % of the draws have its class",
        fontsize="medium",
    )


def _written(values: Tensor) -> list[str]:
    return [f"{value:.3g}" for value in values.tolist()]
