"""Which class a network sees where in a picture: its labels in colours, and a heat map a class."""

from collections.abc import Sequence
from math import ceil

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
from training.plots.lettering import lettering, short

_COLOURS = [tuple(each) for each in colormaps["tab10"].colors]  # type: ignore[attr-defined]
_OTHERS = (0.75, 0.75, 0.75)  # of classes that win less often
_MOST_HEATS = 8  # classes whose probabilities are drawn
_COLUMNS = 4
_MAX_LABEL = 2.0  # inches
_WIDTH, _MOST_HEIGHT, _LEAST_HEIGHT = 2.8, 5.6, 0.7  # inches of a panel
_OPACITY = 0.6  # of the labels over the picture


def class_map(found: ClassMap, labels: Sequence[str], title: str) -> bytes:
    """The picture as the network slid over it, the most probable label around each pixel, and the
    probability of each class there.

    Labels have a colour in the order of how often they win; from the eleventh on one is left for
    all. The classes that win most often have a heat map, up to eight; where fewer win anywhere,
    those of the largest probabilities follow.
    """
    with lettering(title, *labels):
        winning = [each.index for each in found.shares()]
        drawn = _drawn(found, winning)
        height, width = found.picture.size
        tall = min(max(_WIDTH * height / width, _LEAST_HEIGHT), _MOST_HEIGHT)
        rows = ceil((len(drawn) + 2) / _COLUMNS)
        size = (_WIDTH * _COLUMNS + 0.8, (tall + 0.4) * rows + 1.3)
        figure = Figure(figsize=size, layout="compressed")
        heading(figure, title)
        grid = figure.subplots(rows, _COLUMNS, squeeze=False).flatten()
        for axes in grid[len(drawn) + 2 :]:
            axes.set_axis_off()
        _picture(grid[0], found)
        grid[0].set_title(f"picture, {width} × {height}", fontsize="medium")
        _labels(figure, grid[1], found, labels, winning)
        image = None
        for axes, index in zip(grid[2:], drawn, strict=False):
            heat = found.heat(index).numpy()
            image = axes.imshow(heat, cmap=VIRIDIS, vmin=0, vmax=1)
            axes.set_title(
                f"{short(labels[index], _MAX_LABEL, 'medium')} ≤ {heat.max():.2f}",
                fontsize="medium",
            )
            bare(axes)
        if image is not None:
            figure.colorbar(image, ax=list(grid), shrink=0.6, label="probability")
        return png(figure)


def _drawn(found: ClassMap, winning: Sequence[int]) -> list[int]:
    """The classes with a heat map."""
    highest = found.probabilities.flatten(1).amax(1).argsort(descending=True).tolist()
    others = [index for index in highest if index not in winning]
    return [*winning, *others][:_MOST_HEATS]


def _picture(axes: Axes, found: ClassMap) -> None:
    axes.imshow(pixels(torch.from_numpy(found.picture.pixels)), cmap="gray", vmin=0, vmax=255)
    bare(axes)


def _labels(
    figure: Figure, axes: Axes, found: ClassMap, labels: Sequence[str], winning: Sequence[int]
) -> None:
    """The labels over the picture, and what each colour says."""
    _picture(axes, found)
    axes.imshow(
        _colours(found, winning),
        cmap=ListedColormap([*_COLOURS, _OTHERS]),
        vmin=0,
        vmax=len(_COLOURS),
        alpha=_OPACITY,
        interpolation="nearest",
    )
    axes.set_title("most probable label", fontsize="medium")
    shares = found.shares()
    said = [
        (f"{short(labels[each.index], _MAX_LABEL, 'small')}: {100 * each.share:.0f} %", colour)
        for each, colour in zip(shares, _COLOURS, strict=False)
    ]
    if rest := shares[len(_COLOURS) :]:
        said.append((f"{len(rest)} others: {100 * sum(s.share for s in rest):.0f} %", _OTHERS))
    patches = [Patch(color=colour, alpha=_OPACITY, label=text) for text, colour in said]
    figure.legend(handles=patches, loc="outside lower center", ncols=4, fontsize="small")


def _colours(found: ClassMap, winning: Sequence[int]) -> NDArray[np.int64]:
    """For each pixel of the picture the number of a colour: of the place that is nearest."""
    ranks = torch.full((len(found.probabilities),), len(_COLOURS))
    for rank, index in enumerate(winning[: len(_COLOURS)]):
        ranks[index] = rank
    places = ranks[found.winners]
    nearest: NDArray[np.int64] = stitching.spread(
        places, found.window, found.step, found.picture.size
    ).numpy()
    return nearest
