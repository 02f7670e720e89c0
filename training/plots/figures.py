"""Shared parts of all plots: figures without a screen, headings, pictures and mosaics as arrays."""

from collections.abc import Sequence
from io import BytesIO
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray
from torch import Tensor

from models.images import colours
from training.plots.text.lettering import DPI, height, width, wrapped

VIRIDIS = LinearSegmentedColormap.from_list("viridis", np.array(colours.VIRIDIS) / 255)
_MOST_PASSES = 10  # of the layout; it took up to 6
_STILL = 1e-3  # of the figure's side: less is no movement
_MARGIN = 0.15  # inches beside a heading
_KEY = 0.8  # inches that a line of a legend and the space around it take
_TILE_TO_GAP = 12


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file."""
    figure.set_dpi(DPI)
    _settle(figure)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def _settle(figure: Figure) -> None:
    """Lay the figure out until nothing moves.

    One pass leaves labels outside of the figure where pictures keep their aspect.
    """
    engine = figure.get_layout_engine()
    if engine is None or not figure.axes:
        return
    for _ in range(_MOST_PASSES):
        before = [axes.get_position().bounds for axes in figure.axes]
        engine.execute(figure)
        after = [axes.get_position().bounds for axes in figure.axes]
        if np.allclose(before, after, rtol=0, atol=_STILL):
            break


def heading(figure: Figure, text: str) -> None:
    """Add a title over the figure, and make the figure higher if the title has several lines."""
    lines = headline(text, figure.get_figwidth())
    figure.set_figheight(figure.get_figheight() + further_lines(lines))
    figure.suptitle(lines, fontsize="large")


def headline(text: str, inches: float) -> str:
    """Break a title into lines for a figure of that width."""
    return wrapped(text, inches - 2 * _MARGIN, "large")


def further_lines(text: str) -> float:
    """Return the height in inches of a title beyond one line of usual letters."""
    return height(text, "large") - height("", "large")


def say(axes: Axes, text: str) -> None:
    """Write a text into the middle of empty axes, which says why they are empty."""
    axes.text(0.5, 0.5, text, ha="center", va="center", color="grey", transform=axes.transAxes)


def bare(axes: Axes) -> None:
    """Remove the ticks of the axes, and keep the frame."""
    axes.set_xticks([])
    axes.set_yticks([])


def logarithmic(axes: Axes, which: Literal["x", "y"] = "y") -> None:
    """Set a logarithmic scale with plain numbers, which contains all that is drawn already."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    # its own labels are formulas, which plain text leaves as they are
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    low, high = sorted(axis.get_view_interval())
    if high < 10 * low:
        axis.set_major_locator(MaxNLocator(5))
    else:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def key(figure: Figure, lines: Sequence[Line2D], inches: float) -> None:
    """Add a legend below a figure that is `inches` wide, and make the figure higher for it.

    Long labels get several lines.
    """
    for line in lines:
        line.set_label(wrapped(str(line.get_label()), inches - 2 * _KEY, "medium"))
    parts = [part for line in lines for part in str(line.get_label()).split("\n")]
    longest = max(width(part, "medium") for part in parts) + _KEY
    columns = max(1, min(4, int(inches / longest)))
    legend = figure.legend(handles=list(lines), loc="outside lower center", ncols=columns)
    taken = legend.get_window_extent().height / figure.dpi
    figure.set_figheight(figure.get_figheight() + taken)


def pixels(image: Tensor) -> NDArray[np.uint8]:
    """Convert an image uint8 (C, H, W) for `Axes.imshow`: to (H, W) or (H, W, 3)."""
    array: NDArray[np.uint8] = image.permute(1, 2, 0).squeeze(-1).cpu().numpy()
    return array


def mosaic(tiles: NDArray[Any], columns: int) -> NDArray[np.float64]:
    """Arrange tiles (N, H, W) or (N, H, W, 3) in rows of `columns`, as one array.

    Gaps between tiles, and tiles that are missing in the last row, are NaN.
    """
    count, height, width = tiles.shape[:3]
    between = gap(height, width)
    rows = -(-count // columns)
    down, across = height + between, width + between
    whole = np.full((rows * down - between, columns * across - between, *tiles.shape[3:]), np.nan)
    for number, tile in enumerate(tiles):
        top, left = number // columns * down, number % columns * across
        whole[top : top + height, left : left + width] = tile
    return whole


def gap(height: int, width: int) -> int:
    """Pixels between tiles of that size in a mosaic."""
    return max(1, max(height, width) // _TILE_TO_GAP)


def centres(whole: int, tile: int, count: int) -> list[float]:
    """Return the centres of `count` tiles along a side of a mosaic with `whole` pixels."""
    step = (whole - tile) / max(1, count - 1)
    return [number * step + (tile - 1) / 2 for number in range(count)]


def bound(values: NDArray[Any]) -> float:
    """The largest finite magnitude, or 1 if there is none: the end of a scale around 0."""
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max(initial=0)) or 1.0
