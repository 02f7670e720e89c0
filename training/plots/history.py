"""Loss and accuracy over the epochs and over the steps, of one training or of several."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from matplotlib import color_sequences
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.typing import ColorType

from training.fitting.records.steps import Step
from training.fitting.state import Epoch
from training.plots.figures import heading, key, logarithmic, png, say
from training.plots.text.lettering import lettering

_FIGURES = ("loss", "accuracy")
_WIDTH = 12.0  # inches of an overlay
_PANEL, _RATE = 4.0, 1.6  # inches of the height of curves, and of the learning rate below them
_MARKED = 60  # points of a line that are marked
_DECADE = 10.0

Points = list[tuple[int, float]]


def curves(
    history: Sequence[Epoch],
    title: str,
    selected: Epoch | None = None,
    steps: Sequence[Step] = (),
) -> bytes:
    """Draw loss and accuracy of both sets over the epochs, and below them the learning rate.

    With `steps`, a second row has loss and test accuracy over the steps, and the learning rate is
    that of the steps. Its scale is logarithmic if it spans more than a decade. Values that are not
    finite are left out. Returns a PNG.
    """
    rates = _rates(history, steps)
    rows: list[Any] = [[f"epoch {name}" for name in _FIGURES]]
    if steps:
        has_test = any(step.test is not None for step in steps)
        rows.append(["step loss", "step accuracy" if has_test else "step loss"])
    heights = [_PANEL] * len(rows)
    if rates:
        rows.append(["rate", "rate"])
        heights.append(_RATE)
    with lettering(title):
        figure = Figure(figsize=(10, sum(heights)), layout="constrained")
        heading(figure, title)
        panels = figure.subplot_mosaic(rows, height_ratios=heights)
        for name in _FIGURES:
            _epochs(panels[f"epoch {name}"], history, name, selected)
            if (axes := panels.get(f"step {name}")) is not None:
                _steps(axes, steps, name)
        if rates:
            _rate(panels["rate"], rates, "step" if steps else "epoch")
        return png(figure)


def _epochs(axes: Axes, history: Sequence[Epoch], name: str, selected: Epoch | None) -> None:
    for split in ("train", "validation"):
        _line(axes, _points(history, split, name), split)
    _say_if_empty(axes)
    if selected is not None and len(history) > 1:
        axes.axvline(selected.number, color="grey", linestyle=":", label="selected")
    _label(axes, name)
    _legend(axes)


def _steps(axes: Axes, steps: Sequence[Step], name: str) -> None:
    if name == "loss":
        single = [(each.number, each.loss) for each in steps]
        mean = [(each.number, each.mean_loss) for each in steps]
        _line(axes, _finite(single), "batch of the step", color="tab:blue", alpha=0.3)
        _line(axes, _finite(mean), "mean since the point before", color="tab:blue")
    tested = [each for each in steps if each.test is not None]
    points = _finite([(each.number, getattr(each.test, name)) for each in tested])
    counts = sorted({each.test_pictures for each in tested})
    pictures = " or ".join(f"{count:,}" for count in counts)
    _line(axes, points, f"test, the first {pictures}", color="tab:green")
    _say_if_empty(axes)
    _label(axes, name, "step")
    _legend(axes)


def _rate(axes: Axes, rates: Points, over: str) -> None:
    _line(axes, rates, "", color="tab:purple")
    values = [rate for _, rate in rates if rate > 0]
    if values and max(values) > _DECADE * min(values):
        logarithmic(axes)
    else:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(4))
    _label(axes, "learning rate", over)


def _rates(history: Sequence[Epoch], steps: Sequence[Step]) -> Points:
    """Return the learning rate of each step; without steps, that of each epoch's first step."""
    if steps:
        return _finite([(each.number, each.learning_rate) for each in steps])
    return _finite([(epoch.number, epoch.learning_rate) for epoch in history])


def _line(axes: Axes, points: Points, label: str, **style: Any) -> None:
    """Draw a line; a few points are marked, and a single one has its value in the legend."""
    if not points:
        return
    marker = "o" if len(points) == 1 else "." if len(points) <= _MARKED else None
    if len(points) == 1 and label:
        label += f" {points[0][1]:.4f}"
    axes.plot(*zip(*points, strict=True), label=label, marker=marker, **style)


def _say_if_empty(axes: Axes) -> None:
    if not axes.lines:
        say(axes, "no finite value")


def _legend(axes: Axes) -> None:
    if axes.lines:
        axes.legend()


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
            _say_if_empty(axes)
            if axes.lines and name == "loss":
                logarithmic(axes)
            _label(axes, name)
        _key(figure, dict(zip(histories, colors, strict=True)))
        return png(figure)


def _key(figure: Figure, colors: Mapping[str, ColorType]) -> None:
    """Add a legend below: a colour for each training, a line style for each set."""
    lines = [Line2D([], [], color=color, label=label) for label, color in colors.items()]
    lines += [Line2D([], [], color="grey", linestyle="--", label="training")]
    lines += [Line2D([], [], color="grey", label="validation")]
    key(figure, lines, _WIDTH)


def _points(history: Sequence[Epoch], split: str, name: str) -> Points:
    return _finite(
        [
            (epoch.number, getattr(metrics, name))
            for epoch in history
            if (metrics := getattr(epoch, split)) is not None
        ]
    )


def _finite(pairs: Sequence[tuple[int, float | None]]) -> Points:
    return [(number, value) for number, value in pairs if value is not None and isfinite(value)]


def _label(axes: Axes, name: str, over: str = "epoch") -> None:
    axes.set(xlabel=over, ylabel=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
