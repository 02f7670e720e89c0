"""How the values of a network's parameters are distributed."""

from collections.abc import Mapping
from math import ceil

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from training.plots.figures import heading, png, say
from training.plots.text.lettering import lettering, short, width

_COLUMNS = 4
_BINS = 80
_MOST_VALUES = 1_000_000  # of a tensor; more are thinned evenly
MAX_TENSORS = 120
_WIDTH = 3.4  # inches of a column


def histograms(parameters: Mapping[str, Tensor], title: str) -> bytes:
    """Draw a histogram of each tensor, with its range and deviation; returns a PNG.

    Values that are not finite are counted. Of more than 120 tensors the first 60 and the last 60
    are drawn, and the title says so.
    """
    names = list(parameters)
    if len(names) > MAX_TENSORS:
        title += f" ({MAX_TENSORS} of {len(names):,} tensors: the first and the last)"
        names = names[: MAX_TENSORS // 2] + names[-MAX_TENSORS // 2 :]
    with lettering(title, *names):
        rows, columns = max(1, ceil(len(names) / _COLUMNS)), max(1, min(len(names), _COLUMNS))
        figure = Figure(figsize=(_WIDTH * columns, 2.6 * rows + 0.5), layout="constrained")
        heading(figure, title)
        grid = figure.subplots(rows, columns, squeeze=False).flatten()
        for axes, name in zip(grid, names, strict=False):
            _histogram(axes, name, parameters[name])
        for axes in grid[len(names) :]:
            axes.set_axis_off()
        return png(figure)


def _histogram(axes: Axes, name: str, tensor: Tensor) -> None:
    values = tensor.detach().float().flatten().cpu()
    finite = values[values.isfinite()]
    count = f" ({values.numel():,})"
    text = short(name, 0.9 * _WIDTH - width(count, "small"), "small") + count
    if len(finite) < len(values):
        text += f"\n{len(values) - len(finite):,} not finite"
    if len(finite):
        deviation = finite.std(correction=0).item()
        text += f"\n{finite.min().item():.3g} to {finite.max().item():.3g}, std {deviation:.3g}"
        thinned = finite[:: max(1, len(finite) // _MOST_VALUES)]
        axes.hist(thinned.double().numpy(), bins=_BINS)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    else:
        say(axes, "no finite value" if len(values) else "no values")
        axes.set_xticks([])
    axes.set_title(text, fontsize="small")
    axes.set_yticks([])
