"""Plot of where activation functions are flat: the inputs of each, with its derivative."""

from collections.abc import Sequence
from math import ceil

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from training.activations.saturation import BINS, ENDS, FLAT, Saturation, derivative, products
from training.plots.figures import heading, logarithmic, png
from training.plots.text.lettering import lettering, short

MAX_PANELS = 47
_COLUMNS = 3
_WIDE, _TALL = 4.2, 2.7  # inches of a panel
_FLAT_COLOR, _SLOPE_COLOR = "mistyrose", "tab:red"


def saturation(measured: Sequence[Saturation], title: str) -> bytes:
    """Draw a histogram of each function's inputs with its derivative; returns a PNG.

    A last panel has the product of the mean derivatives, which is what the functions leave of a
    gradient. Inputs beyond ±10 are counted at the ends. The background is red where the function is
    flat. Of more than 47 functions some are drawn, evenly chosen, and the title says so.
    """
    shown = measured
    if len(measured) > MAX_PANELS:
        steps = torch.linspace(0, len(measured) - 1, MAX_PANELS).round().int().tolist()
        shown = [measured[step] for step in steps]
        title += f" ({MAX_PANELS} of {len(measured)} functions)"
    with lettering(title, *(each.name for each in shown)):
        rows = ceil((len(shown) + 1) / _COLUMNS)
        columns = min(len(shown) + 1, _COLUMNS)
        figure = Figure(figsize=(_WIDE * columns, _TALL * rows + 0.5), layout="constrained")
        heading(figure, title)
        grid = figure.subplots(rows, columns, squeeze=False).flatten()
        for axes, each in zip(grid, shown, strict=False):
            _inputs(axes, each)
        _products(grid[len(shown)], measured)
        for axes in grid[len(shown) + 1 :]:
            axes.set_axis_off()
        return png(figure)


def _inputs(axes: Axes, each: Saturation) -> None:
    edges = np.linspace(-ENDS, ENDS, BINS + 1)
    shares = each.inputs.numpy() / max(float(each.inputs.sum()), 1.0)
    axes.stairs(shares, edges, fill=True, color="tab:blue")
    axes.set_xlim(-ENDS, ENDS)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.tick_params(labelsize="small")
    axes.set_xlabel("input", fontsize="small")
    name = short(each.name, _WIDE - 1.2, "small")
    share = f"{100 * each.share:.1f} % saturated"
    text = f"{name} ({each.kind})\n{share}, mean derivative {each.mean_slope:.3g}"
    axes.set_title(text, fontsize="small")
    at = torch.linspace(-ENDS, ENDS, 401).view(-1, 1)
    width = next((p.numel() for p in each.module.parameters()), 1)
    device = next((p.device for p in each.module.parameters()), at.device)
    slopes = derivative(each.module, at.expand(-1, width).to(device))[:, 0].cpu().numpy()
    top = 1.1 * max(float(shares.max()), 1e-3)
    curve = slopes / each.largest * top / 1.1  # drawn as high as the highest bar
    label = f"derivative, up to {each.largest:.3g}"
    axes.plot(at[:, 0].numpy(), curve, color=_SLOPE_COLOR, linewidth=1.2, label=label)
    axes.set_ylim(min(0.0, float(curve.min())), top)
    axes.legend(fontsize="x-small", loc="upper left")
    flat = np.abs(slopes) < FLAT * each.largest
    ground = {"where": flat, "color": _FLAT_COLOR, "zorder": 0}
    axes.fill_between(at[:, 0].numpy(), 0, 1, transform=axes.get_xaxis_transform(), **ground)


def _products(axes: Axes, measured: Sequence[Saturation]) -> None:
    """Plot the product of the mean derivatives, from each function down to the input."""
    left = products(measured)
    axes.plot(range(1, len(left) + 1), left, "o-")
    axes.set_title("product of the mean derivatives\ndown to the input", fontsize="small")
    axes.set_xlabel("function, counted from the input", fontsize="small")
    axes.set_xticks(range(1, len(left) + 1, ceil(len(left) / 12)))
    axes.tick_params(labelsize="small")
    if min(left) > 0:
        logarithmic(axes)
