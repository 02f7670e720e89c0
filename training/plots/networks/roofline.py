"""What bounds the layers of a network: the roofline, and intensity against batch size.

The roofline is that of Williams, Waterman and Patterson (2009): the rate that a machine reaches at
so many operations a byte, which memory bounds to the left of its ridge and arithmetic to the right.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib import color_sequences
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.typing import ColorType

from training.plots.figures import heading, key, logarithmic, png, say
from training.plots.text.lettering import lettering
from training.profiling import batches
from training.profiling.report import Report
from training.profiling.traffic import LayerTraffic, Traffic

MAX_LAYERS = 12  # with a colour of their own
_WIDTH = 12.0  # inches
_GIGA = 1e9
_OTHERS = "lightgrey"
_INTENSITY = "operations a byte (FLOP/B)"
_MARGIN = 3.0  # times, on both sides of what is drawn
_PASSES: dict[str, Callable[[LayerTraffic], Traffic]] = {
    "forward": lambda row: row.forward,
    "backward": lambda row: row.backward,
}
_OPTIMIZERS: dict[str, Literal["--", "-."]] = {"SGD": "--", "Adam": "-."}
_Colors = Mapping[str, ColorType]


def roofline(report: Report, title: str) -> bytes:
    """Draw the roof of a machine with the layers below it, forward and backward; returns a PNG.

    Hollow marks are the rates that the machine allows at a layer's intensity, filled ones the
    measured rates of the forward pass. Layers without multiply-adds are left out. If there are more
    than 12 others, those that compute least are grey.
    """
    title += f", batch of {report.step.batch_size:,}"
    colors = _colors(report.rows)
    with lettering(title, *colors):
        figure = Figure(figsize=(_WIDTH, 5), layout="constrained")
        heading(figure, title)
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, (name, of) in zip(panels, _PASSES.items(), strict=True):
            _roof(axes, report)
            _allowed(axes, report, colors, of)
            _panel(axes, name, _INTENSITY, "GFLOP/s")
        _measured(panels[0], report, colors)
        for axes in panels:
            logarithmic(axes, "x")
            logarithmic(axes, "y")
        marks = [_mark("allowed", "none")]
        marks += [_mark("measured", "black")] if report.milliseconds is not None else []
        key(figure, [*_handles(colors, report.rows), *marks, _ridge()], _WIDTH)
        return png(figure)


def intensities(report: Report, title: str) -> bytes:
    """Draw operations per byte of layers and whole passes against the batch size; returns a PNG.

    Memory is the bound below the dotted line. Colours are those of `roofline`.
    """
    colors = _colors(report.rows)
    steps = sorted(report.batches.steps, key=lambda step: step.batch_size)
    sizes = [step.batch_size for step in steps]
    with lettering(title, *colors):
        figure = Figure(figsize=(_WIDTH, 5), layout="constrained")
        heading(figure, title)
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, (name, of) in zip(panels, _PASSES.items(), strict=True):
            _lines(axes, sizes, [[*step.layers, step.elsewhere] for step in steps], colors, of)
            _curve(axes, sizes, [of(step.total).intensity for step in steps], "black", "-")
            _panel(axes, name, "batch size", _INTENSITY)
            axes.axhline(report.machine.ridge, color="grey", linestyle=":")
        for optimizer, style in _OPTIMIZERS.items():
            values = [batches.intensity(step, optimizer) for step in steps]
            _curve(panels[1], sizes, values, "black", style)
        for axes in panels:
            logarithmic(axes, "x")
            logarithmic(axes, "y")
        wholes = [Line2D([], [], color="black", label="whole pass")]
        for optimizer, style in _OPTIMIZERS.items():
            label = f"whole step with {optimizer}"
            wholes.append(Line2D([], [], color="black", linestyle=style, label=label))
        key(figure, [*_handles(colors, report.rows), *wholes, _ridge()], _WIDTH)
        return png(figure)


def _colors(rows: Sequence[LayerTraffic]) -> _Colors:
    """A colour for each of the layers that compute most, in the order of the forward pass."""
    most = sorted(rows, key=lambda row: -_multiply_adds(row))[:MAX_LAYERS]
    names = [row.name for row in rows if row in most and _multiply_adds(row)]
    palette = color_sequences["tab10" if len(names) <= 10 else "tab20"]
    return dict(zip(names, palette, strict=False))


def _multiply_adds(row: LayerTraffic) -> int:
    return row.forward.multiply_adds + row.backward.multiply_adds


def _panel(axes: Axes, title: str, across: str, up: str) -> None:
    axes.set_title(title)
    axes.set(xlabel=across, ylabel=up)
    axes.label_outer()
    axes.grid(alpha=0.3)


def _roof(axes: Axes, report: Report) -> None:
    """Draw the roof over the intensities of all layers in both passes, and a line at the ridge."""
    found = [each for row in report.rows for of in _PASSES.values() if (each := of(row).intensity)]
    low, high = (edge([*found, report.machine.ridge]) for edge in (min, max))
    across = np.geomspace(low / _MARGIN, high * _MARGIN, 100)
    roof = np.minimum(report.machine.peak, across * report.machine.bandwidth) / _GIGA
    axes.plot(across, roof, color="black")
    axes.axvline(report.machine.ridge, color="grey", linestyle=":")
    if not found:
        say(axes, "no layer multiplies")


def _allowed(
    axes: Axes, report: Report, colors: _Colors, of: Callable[[LayerTraffic], Traffic]
) -> None:
    for row in sorted(report.rows, key=lambda row: row.name in colors):  # the grey ones below
        if rate := of(row).intensity:
            allowed = min(report.machine.peak, rate * report.machine.bandwidth) / _GIGA
            color = colors.get(row.name, _OTHERS)
            axes.plot([rate], [allowed], "o", color=color, markerfacecolor="none")


def _measured(axes: Axes, report: Report, colors: _Colors) -> None:
    for row, milliseconds in sorted(report.timed(), key=lambda timed: timed[0].name in colors):
        if (intensity := row.forward.intensity) and milliseconds > 0:
            rate = row.forward.operations / milliseconds * 1000 / _GIGA
            axes.plot([intensity], [rate], "o", color=colors.get(row.name, _OTHERS))


def _lines(
    axes: Axes,
    sizes: Sequence[int],
    steps: Sequence[Sequence[LayerTraffic]],
    colors: _Colors,
    of: Callable[[LayerTraffic], Traffic],
) -> None:
    """Draw a line for each layer, the grey ones below the others."""
    layers = sorted(zip(*steps, strict=True), key=lambda rows: rows[0].name in colors)
    for rows in layers:
        if any(of(row).multiply_adds for row in rows):
            color = colors.get(rows[0].name, _OTHERS)
            _curve(axes, sizes, [of(row).intensity for row in rows], color, "-")


def _curve(
    axes: Axes, sizes: Sequence[int], values: Sequence[float | None], color: ColorType, style: str
) -> None:
    points = [(size, value) for size, value in zip(sizes, values, strict=True) if value]
    if points:
        axes.plot(*zip(*points, strict=True), color=color, linestyle=style, marker=".")


def _handles(colors: _Colors, rows: Sequence[LayerTraffic]) -> list[Line2D]:
    """Return the legend's entries for the layers."""
    types = {row.name: row.type for row in rows}
    handles = [
        Line2D([], [], color=color, label=f"{name} ({types[name]})" if types[name] else name)
        for name, color in colors.items()
    ]
    if sum(_multiply_adds(row) > 0 for row in rows) > len(colors):
        handles.append(Line2D([], [], color=_OTHERS, label="other layers"))
    return handles


def _mark(label: str, inside: str) -> Line2D:
    line = Line2D([], [], color="black", linestyle="", marker="o", markerfacecolor=inside)
    line.set_label(label)
    return line


def _ridge() -> Line2D:
    return Line2D([], [], color="grey", linestyle=":", label="ridge of the machine")
