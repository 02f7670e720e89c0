"""Loss and accuracy over the epochs, of one training or of several."""

from collections.abc import Mapping, Sequence
from math import isfinite

from matplotlib import color_sequences
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.typing import ColorType

from training.fitting.loop import Epoch
from training.plots.figures import heading, key, logarithmic, png, say
from training.plots.lettering import lettering

_FIGURES = ("loss", "accuracy")
_WIDTH = 12.0  # inches of an overlay


def curves(history: Sequence[Epoch], title: str, selected: Epoch | None = None) -> bytes:
    """Loss and accuracy of both sets over the epochs, side by side.

    Values that are not finite are left out.
    """
    with lettering(title):
        figure = Figure(figsize=(10, 4), layout="constrained")
        heading(figure, title)
        for axes, name in zip(figure.subplots(1, 2), _FIGURES, strict=True):
            for split in ("train", "validation"):
                if points := _points(history, split, name):
                    axes.plot(*zip(*points, strict=True), label=split, marker=".")
            if not axes.lines:
                say(axes, "no finite value")
            if selected is not None:
                axes.axvline(selected.number, color="grey", linestyle=":", label="selected")
            _label(axes, name)
            if axes.lines:
                axes.legend()
        return png(figure)


def overlay(histories: Mapping[str, Sequence[Epoch]], title: str) -> bytes:
    """Loss and accuracy of several trainings: a colour each, training dashed, validation solid.

    Losses are on a logarithmic scale; values that are not finite are left out.
    """
    with lettering(title, *histories):
        figure = Figure(figsize=(_WIDTH, 5), layout="constrained")
        heading(figure, title)
        palette = color_sequences["tab10" if len(histories) <= 10 else "tab20"]
        colors = [palette[number % len(palette)] for number in range(len(histories))]
        for axes, name in zip(figure.subplots(1, 2), _FIGURES, strict=True):
            for color, history in zip(colors, histories.values(), strict=True):
                for split, style in (("train", "--"), ("validation", "-")):
                    if points := _points(history, split, name):
                        marker = "o" if len(points) == 1 else None
                        axes.plot(
                            *zip(*points, strict=True), color=color, linestyle=style, marker=marker
                        )
            if not axes.lines:
                say(axes, "no finite value")
            elif name == "loss":
                logarithmic(axes)
            _label(axes, name)
        _key(figure, dict(zip(histories, colors, strict=True)))
        return png(figure)


def _key(figure: Figure, colors: Mapping[str, ColorType]) -> None:
    """A legend below."""
    lines = [Line2D([], [], color=color, label=label) for label, color in colors.items()]
    lines += [Line2D([], [], color="grey", linestyle="--", label="training")]
    lines += [Line2D([], [], color="grey", label="validation")]
    key(figure, lines, _WIDTH)


def _points(history: Sequence[Epoch], split: str, name: str) -> list[tuple[int, float]]:
    return [
        (epoch.number, value)
        for epoch in history
        if (metrics := getattr(epoch, split)) is not None
        and isfinite(value := getattr(metrics, name))
    ]


def _label(axes: Axes, name: str) -> None:
    axes.set(xlabel="epoch", ylabel=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
