"""The weights of a layer as pictures: kernels on as many pages as they need, templates, matrices.

    weight (out, in, H, W) → pages of whole kernels → a mosaic each → PNG

A weight is at least 3 pixels wide, and a page at most 3,600 pixels of them on a side. A layer that
needs more room is drawn on several pages, each of which says what it has.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, sqrt

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from training.plots.figures import (
    bare,
    bound,
    centres,
    further_lines,
    gap,
    heading,
    headline,
    mosaic,
    png,
)
from training.plots.text.lettering import DPI, height, lettering, width, wrapped

MAX_PIXELS = 3600  # of a page's side, without its title and numbers
_WEIGHT = 3  # pixels at least
_MAX_NAMED = 128  # classes that are named; more are numbered
_GROUND = "lightsteelblue"  # no grey, so that gaps aren't taken for weights
_WIDTH = 8.0  # inches of what needs no more
_NUMBER, _APART = 0.25, 0.08  # inches from the number of a channel to the next, and between them
_SCALE = 1.1  # inches beside the kernels
_MAX_LABEL = 3.0  # inches
_TILE, _COLUMNS, _MARGIN = 1.5, 6, 0.2  # inches of a template with its label, how many in a row


def kernels(weight: Tensor, title: str, labels: Sequence[str] = ()) -> Iterator[bytes]:
    """Draw all kernels (out, in, H, W) of a convolution, or templates of a linear layer.

    With three input channels, kernels are colour pictures side by side; with one, grey ones.
    Otherwise there is a row per output channel and a column per input channel. All have one scale,
    symmetrical about 0, on all pages. `labels` are the classes that the outputs stand for. Yields
    the pages as PNGs.
    """
    array = weight.detach().float().cpu().numpy()
    outputs, inputs, high, wide = array.shape
    text = f"{title}: {outputs:,} × {inputs:,} kernels of {high} × {wide}"
    largest = bound(array)
    if inputs == 3:
        text += f"; mid-grey is 0, the colours end at ±{largest:.3g}"
    names = tuple(labels) if len(labels) == outputs <= _MAX_NAMED else ()
    with lettering(title, *names):
        if names and inputs in (1, 3):
            yield _templates(array, text, names, largest)
            return
        rows = [wrapped(name, _MAX_LABEL, "small") for name in names]
        tallest = max((height(each, "small") for each in rows), default=0.0)
        weight_pixels = max(_WEIGHT, ceil(tallest / (high + gap(high, wide)) * DPI))
        pages = list(_pages(array.shape, weight_pixels))
        for number, page in enumerate(pages, start=1):
            more = f"; page {number} of {len(pages)}: {page}" if len(pages) > 1 else ""
            if inputs in (1, 3):
                yield _side_by_side(array[page.rows], text + more, largest)
            else:
                part = array[page.rows, page.columns]
                yield _table(part, text + more, largest, page, rows[page.rows], weight_pixels)


@dataclass(frozen=True)
class _Page:
    """The channels of output and of input whose kernels are on a page."""

    rows: slice
    columns: slice
    whole: tuple[int, int]

    def __str__(self) -> str:
        parts = zip(("output", "input"), (self.rows, self.columns), self.whole, strict=True)
        return ", ".join(
            f"{kind} channels {part.start} to {part.stop - 1}"
            for kind, part, count in parts
            if part.stop - part.start < count
        )


def _pages(shape: tuple[int, int, int, int], weight_pixels: int) -> Iterator[_Page]:
    """Divide the kernels into pages with as many as fit on each, spread evenly."""
    outputs, inputs, high, wide = shape
    between = gap(high, wide)
    down = max(1, MAX_PIXELS // (weight_pixels * (high + between)))
    across = max(1, MAX_PIXELS // (weight_pixels * (wide + between)))
    if inputs in (1, 3):  # one after the other, as in a text
        down, across = down * across, inputs
    for rows in _parts(outputs, down):
        for columns in _parts(inputs, across):
            yield _Page(rows, columns, (outputs, inputs))


def _parts(count: int, most: int) -> list[slice]:
    """Divide `count` into as few slices of at most `most` as possible, of nearly the same size."""
    parts = ceil(count / most)
    ends = [round(count * number / parts) for number in range(parts + 1)]
    return [slice(*pair) for pair in pairwise(ends)]


def _side_by_side(array: NDArray[np.float32], text: str, largest: float) -> bytes:
    """Draw kernels of one input channel in grey, or of three as colours, side by side."""
    tiles = _tiles(array, largest)
    whole = mosaic(tiles, ceil(sqrt(len(tiles))))
    figure, _axes = _figure(whole, text, largest, _MARGIN, _MARGIN, _inches_of_weight(whole))
    return png(figure)


def _table(
    array: NDArray[np.float32],
    text: str,
    largest: float,
    page: _Page,
    names: Sequence[str],
    weight_pixels: int,
) -> bytes:
    """Draw a row per output channel, labelled with its class if it has one, and a column per
    input."""
    outputs, inputs, high, wide = array.shape
    whole = mosaic(array.reshape(-1, high, wide), inputs)
    lines = "\n".join([*names, str(page.rows.stop)]).split("\n")
    beside = max(width(line, "small" if names else "medium") for line in lines) + 0.5
    inches = _inches_of_weight(whole, weight_pixels)
    figure, axes = _figure(whole, text, largest, beside, 0.55, inches)
    axes.set(xlabel="input channel", ylabel="class" if names else "output channel")
    room = width(str(page.columns.stop), "medium") + _APART
    _number(axes.xaxis, centres(whole.shape[1], wide, inputs), inches, page.columns.start, room)
    middles = centres(whole.shape[0], high, outputs)
    if names:
        axes.set_yticks(middles, names, fontsize="small")
    else:
        _number(axes.yaxis, middles, inches, page.rows.start, _NUMBER)
    axes.tick_params(length=0)
    return png(figure)


def _templates(
    array: NDArray[np.float32], text: str, names: Sequence[str], largest: float
) -> bytes:
    """Draw the weights (num_classes, C, H, W) of a last layer: a tile for each class, which has the
    class's name as its title. Returns a PNG."""
    columns = min(_COLUMNS, len(names))
    inches = max(_TILE * columns + _MARGIN * (columns + 1), _WIDTH / 2)
    lines = [wrapped(name, _TILE, "small") for name in names]
    title = headline(text, inches)
    rows = [lines[at : at + columns] for at in range(0, len(lines), columns)]
    above = [max(height(each, "small") for each in row) + 0.1 for row in rows]
    tile = _TILE * array.shape[2] / array.shape[3]
    top = further_lines(title) + 0.5
    tall = top + sum(above) + len(rows) * (tile + _MARGIN)
    figure = Figure(figsize=(inches, tall))
    figure.suptitle(title, y=1 - 0.12 / tall, va="top", fontsize="large")
    tiles = _tiles(array, largest)
    for number, label in enumerate(lines):
        row, column = divmod(number, columns)
        down = top + sum(above[: row + 1]) + row * (tile + _MARGIN)
        left = _MARGIN + column * (_TILE + _MARGIN)
        box = (left / inches, 1 - (down + tile) / tall, _TILE / inches, tile / tall)
        axes = figure.add_axes(box)
        axes.imshow(tiles[number], cmap="gray", vmin=-largest, vmax=largest)
        axes.set_title(label, fontsize="small", pad=3)
        bare(axes)
    return png(figure)


def _tiles(array: NDArray[np.float32], largest: float) -> NDArray[np.float32]:
    """Convert kernels of one channel to (N, H, W), and those of three to colours (N, H, W, 3)."""
    if array.shape[1] == 1:
        return array[:, 0]
    return (array.transpose(0, 2, 3, 1) / largest / 2 + 0.5).astype(np.float32)


def _inches_of_weight(whole: NDArray[np.float64], least: int = _WEIGHT) -> float:
    """Return the side of a weight in inches: as large as fits, and at least `least` pixels."""
    usual: float = min(_WIDTH / whole.shape[1], 2 * _WIDTH / whole.shape[0])
    return max(floor(usual * DPI), least) / DPI


def _figure(
    whole: NDArray[np.float64],
    text: str,
    largest: float,
    beside: float,
    below: float,
    inches: float,
) -> tuple[Figure, Axes]:
    """Draw a mosaic (H, W) or (H, W, 3) with its scale; each weight is `inches` wide.

    The axes are placed by hand: a layout of matplotlib draws a large page several times.
    """
    wide, tall = inches * whole.shape[1], inches * whole.shape[0]
    across = max(beside + wide + _SCALE, _WIDTH / 2)
    title = headline(text, across)
    top = further_lines(title) + 0.5
    down = top + tall + below
    figure = Figure(figsize=(across, down))
    figure.suptitle(title, y=1 - 0.12 / down, va="top", fontsize="large")
    axes = figure.add_axes((beside / across, below / down, wide / across, tall / down))
    coloured = whole.ndim == 3
    if coloured:
        whole[np.isnan(whole)] = 1.0  # white, beside which colours are seen as they are
    image = axes.imshow(whole, cmap="gray", vmin=-largest, vmax=largest, interpolation="nearest")
    if not coloured:
        high = min(tall, _WIDTH / 2)
        left, bottom = (beside + wide + 0.15) / across, (below + tall - high) / down
        bar = figure.add_axes((left, bottom, 0.15 / across, high / down))
        figure.colorbar(image, cax=bar, label="weight")
        bar.yaxis.set_major_locator(MaxNLocator(max(2, min(7, floor(2 * high)))))
    axes.set_facecolor(_GROUND)
    bare(axes)
    axes.spines[:].set_visible(False)
    return figure, axes


def _number(axis: Axis, middles: Sequence[float], inches: float, first: int, room: float) -> None:
    """Label the channels at `middles` with their numbers from `first` on.

    `middles` are in weights, each `inches` wide. A number takes `room` inches; if that is more than
    there is, only every n-th channel is labelled.
    """
    between = (middles[-1] - middles[0]) * inches / max(1, len(middles) - 1)
    step = ceil(room / between) if between else 1
    numbers = range(first, first + len(middles), step)
    axis.set_ticks(middles[::step], [str(number) for number in numbers])


def matrix(weight: Tensor, title: str, labels: Sequence[str] = ()) -> bytes:
    """Draw the weights (out, in) of a linear layer, on a scale symmetrical about 0; returns a PNG.

    `labels` are the classes that the outputs stand for.
    """
    array = weight.detach().float().cpu().numpy()
    outputs, inputs = array.shape
    names = tuple(labels) if len(labels) == outputs <= _MAX_NAMED else ()
    with lettering(title, *names):
        lines = [wrapped(name, _MAX_LABEL, "small") for name in names]
        tallest = max((height(each, "small") for each in lines), default=0.0)
        usual = min(max(_WIDTH * outputs / inputs, 2.0), _WIDTH)
        tall = max(usual, outputs * (tallest + _APART) if names else 0.0)
        figure = Figure(figsize=(_WIDTH + 2, tall + 1.2), layout="compressed")
        heading(figure, f"{title}: {outputs:,} outputs × {inputs:,} inputs")
        axes = figure.subplots()
        largest = bound(array)
        image = axes.imshow(array, aspect="auto", cmap="gray", vmin=-largest, vmax=largest)
        axes.set(xlabel="input", ylabel="class" if names else "output")
        if names:
            axes.set_yticks(range(outputs), lines, fontsize="small")
        figure.colorbar(image, ax=axes, label="weight", aspect=20 * max(1.0, tall / _WIDTH))
        return png(figure)
