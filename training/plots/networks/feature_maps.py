"""Plot of a network's activations for a picture: a strip of channels for each layer."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from models.structure.receptive_field import ReceptiveField
from training.plots.figures import (
    VIRIDIS,
    bare,
    bound,
    further_lines,
    headline,
    mosaic,
    pixels,
    png,
)
from training.plots.labelled_bars import LabelledBars
from training.plots.text.lettering import lettering, short, width

_LEAST_COLUMNS, _MOST_COLUMNS = 8, 12  # channels side by side
_MOST_CHANNELS = 2 * _MOST_COLUMNS
_MOST_BARS = 128
_LINE = 128  # values in a line of a long vector
_MOST_VALUES = 8 * _LINE
_MOST_CLASSES = 10  # whose scores are drawn
_WITHIN = 0.98  # of the values lie on the scale

# inches
_WIDTH, _LEFT, _RIGHT = 12.0, 0.7, 1.1
_ACROSS = _WIDTH - _LEFT - _RIGHT
_TITLE, _FOOT, _MARGIN = 0.42, 0.3, 0.15
_PICTURE = 2.2
_SCORES = 3.6  # where their labels begin
_MIN_INCHES, _BARS, _MATRIX, _MAX_INCHES = 0.3, 0.8, 1.8, 5.0


def feature_maps(
    picture: Tensor,
    scores: Mapping[str, float],
    activations: Mapping[str, Tensor],
    title: str,
    fields: Mapping[str, ReceptiveField] | None = None,
    outputs: Collection[str] = (),
) -> bytes:
    """Draw the input picture, uint8 (C, H, W), the scores, and a strip for each layer below them.

    The activations are of one picture, in the order of the forward pass. Maps (C, H, W) are drawn
    as up to 24 channels, and matrices as one map. Vectors are drawn as bars, or if they are long,
    as lines of 128 values. The bars of the layers in `outputs`, which have one value a class, have
    the labels of the scores, in their order. A layer's receptive field stands in its title, with
    the level (low to high) that follows from it.

    A layer has one colour scale: from 0 if no value is negative, otherwise symmetrical about 0. It
    ends where 2 % of the values lie beyond, so that a few of them don't leave the rest pale. Arrows
    at the ends show that values lie beyond; the title has the full range.
    """
    fields = fields or {}
    highest = dict(sorted(scores.items(), key=lambda item: -item[1])[:_MOST_CLASSES])
    with lettering(title, *scores, *activations):
        values = np.array([*highest.values()], np.float32)
        likely = LabelledBars.of(list(highest), values, _WIDTH - _SCORES - _MARGIN, 1)
        strips = {
            name: _strip(value, tuple(scores) if name in outputs else ())
            for name, value in activations.items()
        }
        lines = headline(title, _WIDTH)
        head = further_lines(lines) + 0.9
        top = head + max(_PICTURE, likely.inches) + 0.2
        tall = top + sum(_TITLE + each.inches + each.below for each in strips.values()) + _FOOT
        figure = Figure(figsize=(_WIDTH, tall))

        def place(left: float, top: float, wide: float, high: float) -> Axes:
            box = (left / _WIDTH, 1 - (top + high) / tall, wide / _WIDTH, high / tall)
            return figure.add_axes(box)

        figure.text(0.5, 1 - 0.12 / tall, lines, ha="center", va="top", size="large")
        _input(place(_LEFT, head, _PICTURE, _PICTURE), picture)
        for axes in likely.draw(place, _SCORES, head, ".3f"):
            of_all = f", the {len(highest)} highest of {len(scores):,}"
            axes.set_title(f"scores{of_all * (len(highest) < len(scores))}", fontsize="medium")
            axes.set_xlim(0, 1)
        for name, strip in strips.items():
            top += _TITLE
            axes = place(_LEFT, top, _ACROSS, strip.inches)
            text = _title(name, fields.get(name), strip.caption)
            axes.set_title(text, loc="left", fontsize="medium")
            if strip.bars is not None:
                axes.set_axis_off()
                strip.bars.draw(place, _LEFT, top)
            elif (image := strip.draw(axes)) is not None:
                ends = image.get_clim()
                bar = place(_LEFT + _ACROSS + 0.12, top, 0.14, strip.inches)
                scale = figure.colorbar(image, cax=bar, ticks=ends, extend=strip.beyond(*ends))
                scale.set_ticklabels([f"{end:.3g}" for end in ends])
            top += strip.inches + strip.below
        return png(figure)


def _title(name: str, field: ReceptiveField | None, caption: str) -> str:
    """Return the title of a layer: name, receptive field, level, shape and range of values."""
    after = f", {caption}"
    if field is not None:
        after = f": {field}, {field.level} level{after}"
    room = _ACROSS + 0.8 * _RIGHT - width(after, "medium")
    shown = name
    while width(shown, "medium") > room and "." in shown.partition(" ")[0].lstrip("…"):
        shown = "…" + shown.lstrip("…").partition(".")[2]  # the end tells layers apart
    return short(shown, room, "medium") + after


@dataclass(frozen=True)
class _Strip:
    """A layer's values as they are drawn: (N,) as bars, (H, W) as a map, NaN where nothing is."""

    values: NDArray[np.float32]
    caption: str
    inches: float
    square: bool = False
    """Whether pixels must be square."""
    bars: LabelledBars | None = None
    """The values, if each belongs to a class."""

    @property
    def below(self) -> float:
        """Inches that the numbers under bars take."""
        return 0.2 if self.values.ndim == 1 and self.bars is None else 0.0

    def beyond(self, least: float, most: float) -> Literal["neither", "both", "min", "max"]:
        """Return at which ends of the scale values lie beyond it."""
        below, above = bool((self.values < least).any()), bool((self.values > most).any())
        if below and above:
            return "both"
        return "min" if below else "max" if above else "neither"

    def draw(self, axes: Axes) -> AxesImage | None:
        """Draw the values; return the image of a map, or None for bars."""
        if self.values.ndim == 1:
            _bars(axes, self.values)
            return None
        axes.set_axis_off()
        signed = bool((self.values < 0).any())
        finite = np.abs(self.values[np.isfinite(self.values)])
        # of a map that is 0 almost everywhere the end would be 0
        largest = float(np.quantile(finite, _WITHIN)) if finite.size else 0.0
        largest = largest or bound(self.values)
        image = axes.imshow(
            self.values,
            cmap="RdBu_r" if signed else VIRIDIS,
            vmin=-largest if signed else 0,
            vmax=largest,
            aspect="equal" if self.square else "auto",
        )
        axes.set_anchor("NW")
        return image


def _strip(activation: Tensor, labels: Sequence[str] = ()) -> _Strip:
    values = activation.float().cpu().numpy()
    caption = f"{'×'.join(map(str, values.shape))}{_range(values)}"
    if values.ndim == 3 and values[0].size > 1:
        shown = values[:_MOST_CHANNELS]
        if len(shown) < len(values):
            caption += f", {len(shown)} of {len(values):,} channels shown"
        rows = ceil(len(shown) / _MOST_COLUMNS)
        columns = max(_LEAST_COLUMNS, ceil(len(shown) / rows))
        whole = mosaic(shown, columns).astype(np.float32)
        inches = _ACROSS * whole.shape[0] / whole.shape[1]
        return _Strip(whole, caption, float(np.clip(inches, _MIN_INCHES, _MAX_INCHES)), square=True)
    if values.ndim == 2:
        return _Strip(values, caption, _MATRIX)
    vector = values.ravel()
    if len(labels) == len(vector) <= _MOST_BARS:
        bars = LabelledBars.of(labels, vector, _ACROSS)
        return _Strip(vector, caption, bars.inches, bars=bars)
    if len(vector) <= _MOST_BARS:
        return _Strip(vector, caption, _BARS)
    shown = vector[:_MOST_VALUES]
    if len(shown) < len(vector):
        caption += f", {len(shown):,} of {len(vector):,} values shown"
    lines = ceil(len(shown) / _LINE)
    folded = np.full(lines * _LINE, np.nan, np.float32)
    folded[: len(shown)] = shown
    return _Strip(folded.reshape(lines, _LINE), caption, max(_MIN_INCHES, _ACROSS * lines / _LINE))


def _range(values: NDArray[np.float32]) -> str:
    finite = values[np.isfinite(values)]
    caption = f", {finite.min():.3g} to {finite.max():.3g}" if finite.size else ""
    if finite.size < values.size:
        caption += f", {values.size - finite.size:,} not finite"
    return caption


def _bars(axes: Axes, values: NDArray[np.float32]) -> None:
    axes.bar(range(len(values)), np.nan_to_num(values), width=0.8)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xlim(-0.6, max(len(values), 16) - 0.4)
    axes.set_xticks(range(0, len(values), ceil(len(values) / 16)))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.tick_params(labelsize="small")
    axes.spines[["top", "right"]].set_visible(False)


def _input(axes: Axes, picture: Tensor) -> None:
    axes.imshow(pixels(picture), cmap="gray", vmin=0, vmax=255)
    axes.set_title(f"input {'×'.join(map(str, picture.shape))}", fontsize="medium")
    bare(axes)
