"""Plot of a class map: the most probable labels over a picture, and a heat map for each class."""

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from models.convolutional import stitching
from models.convolutional.class_map import ClassMap
from training.plots.figures import VIRIDIS, bare, heading, pixels, png
from training.plots.text.lettering import lettering, width, wrapped

_COLOURS = [tuple(each) for each in colormaps["tab10"].colors]  # type: ignore[attr-defined]
_OTHERS = (0.75, 0.75, 0.75)  # of classes that win less often
_MOST_HEATS = 8  # classes whose probabilities are drawn
_ACROSS = 11.2  # inches of all panels of a row
_MOST_HEIGHT, _LEAST_HEIGHT = 5.6, 0.4  # inches of a panel
_LINE = 0.2  # inches of a line of a panel's title
_KEY = 0.7  # inches of a colour and the gap before the next
_OPACITY = 0.6  # of the labels over the picture


def class_map(found: ClassMap, labels: Sequence[str], title: str) -> bytes:
    """Draw a picture, the most probable label around each pixel, and the classes' probabilities.

    Up to ten labels have a colour each, the same in every picture. Of more labels, those that win
    most often have a colour of their own, and all others share one. Up to eight classes have a heat
    map: those that win most often, then those with the highest probabilities. The wider the
    picture, the fewer panels stand in a row.
    """
    with lettering(title, *labels):
        winning = [each.index for each in found.shares()]
        drawn = _drawn(found, winning)
        high, wide = found.picture.size
        columns = 4 if wide <= 2 * high else 2 if wide <= 6 * high else 1
        room = _ACROSS / columns
        tall = min(max(room * high / wide, _LEAST_HEIGHT), _MOST_HEIGHT)
        heats = [found.heat(index).numpy() for index in drawn]
        titles = [
            wrapped(text, 0.95 * room, "medium")
            for text in (
                f"picture, {wide} × {high}",
                "most probable label",
                *(f"{labels[i]} ≤ {h.max():.2f}" for i, h in zip(drawn, heats, strict=True)),
            )
        ]
        rows = ceil(len(titles) / columns)
        legend = _legend(found, labels)
        told = _LINE * _lines(titles, columns) + legend.inches
        size = (_ACROSS + 0.8, (tall + 0.2) * rows + 1.0 + told)
        figure = Figure(figsize=size, layout="constrained")
        heading(figure, title)
        grid = figure.subplots(rows, columns, squeeze=False).flatten()
        for axes in grid[len(titles) :]:
            axes.set_axis_off()
        for axes, text in zip(grid, titles, strict=False):
            axes.set_title(text, fontsize="medium")
        _picture(grid[0], found)
        _labels(grid[1], found)
        figure.legend(
            handles=legend.patches,
            loc="outside lower center",
            ncols=legend.columns,
            fontsize="small",
        )
        image = None
        for axes, heat in zip(grid[2:], heats, strict=False):
            image = axes.imshow(heat, cmap=VIRIDIS, vmin=0, vmax=1)
            bare(axes)
        if image is not None:
            figure.colorbar(image, ax=list(grid), shrink=0.6, label="probability")
        return png(figure)


def _drawn(found: ClassMap, winning: Sequence[int]) -> list[int]:
    """Choose the classes that get a heat map: those that win most often, then the most probable."""
    highest = found.probabilities.flatten(1).amax(1).argsort(descending=True).tolist()
    others = [index for index in highest if index not in winning]
    return [*winning, *others][:_MOST_HEATS]


def _picture(axes: Axes, found: ClassMap) -> None:
    axes.imshow(pixels(torch.from_numpy(found.picture.pixels)), cmap="gray", vmin=0, vmax=255)
    bare(axes)


def _labels(axes: Axes, found: ClassMap) -> None:
    """Draw the picture, and over each pixel the colour of the label that is most probable there."""
    _picture(axes, found)
    axes.imshow(
        _colours(found),
        cmap=ListedColormap([*_COLOURS, _OTHERS]),
        vmin=0,
        vmax=len(_COLOURS),
        alpha=_OPACITY,
        interpolation="nearest",
    )


class _Legend(NamedTuple):
    """The names and shares of the labels beside their colours; `inches` is its height."""

    patches: list[Patch]
    columns: int
    inches: float


def _legend(found: ClassMap, labels: Sequence[str]) -> _Legend:
    numbers, shares = _numbers(found), found.shares()
    said = [
        (f"{labels[each.index]}: {_percent(each.share)}", _COLOURS[numbers[each.index]])
        for each in shares
        if numbers[each.index] < len(_COLOURS)
    ]
    if rest := [each.share for each in shares if numbers[each.index] == len(_COLOURS)]:
        said.append((f"{len(rest)} others: {_percent(sum(rest))}", _OTHERS))
    whole = [line for text, _ in said for line in wrapped(text, _ACROSS, "small").split("\n")]
    longest = max(width(line, "small") for line in whole) + _KEY
    columns = max(1, min(4, int(_ACROSS / longest)))
    texts = [wrapped(text, _ACROSS / columns - _KEY, "small") for text, _ in said]
    patches = [
        Patch(color=colour, alpha=_OPACITY, label=text)
        for text, (_, colour) in zip(texts, said, strict=True)
    ]
    each = ceil(len(texts) / columns)  # a legend is filled column by column
    heights = [_lines(texts[at : at + each], 1) for at in range(0, len(texts), each)]
    return _Legend(patches, columns, _LINE * max(heights))


def _lines(texts: Sequence[str], columns: int) -> int:
    """Lines that a grid of texts takes, filled row by row: each row is as high as its longest."""
    counts = [text.count("\n") + 1 for text in texts]
    return sum(max(counts[at : at + columns]) for at in range(0, len(counts), columns))


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else "< 1 %"


def _numbers(found: ClassMap) -> list[int]:
    """Return the index of each class's colour; `len(_COLOURS)` stands for the colour of all
    others."""
    count, others = len(found.probabilities), len(_COLOURS)
    if count <= others:
        return list(range(count))
    ranks = {each.index: rank for rank, each in enumerate(found.shares()[:others])}
    return [ranks.get(index, others) for index in range(count)]


def _colours(found: ClassMap) -> NDArray[np.int64]:
    """The colour's index for each pixel (H, W): that of the winner at the nearest place."""
    places = torch.tensor(_numbers(found))[found.winners]
    nearest: NDArray[np.int64] = stitching.spread(
        places, found.window, found.step, found.picture.size
    ).numpy()
    return nearest
