"""A look into a data set: random pictures of every class."""

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.data.datasets import ImageSet
from training.plots.figures import bare, centres, heading, mosaic, pixels, png
from training.plots.text.lettering import lettering, rows

_COLUMNS = 10
_MOST_ROWS = 50
_GAP = 220  # light grey, so that white pictures have an end
_ROW = 0.8  # inches, its height


def samples(images: ImageSet, title: str, generator: torch.Generator) -> bytes:
    """Draw ten random pictures of each class, a row per class, with the number of its pictures.

    A class with fewer pictures has a shorter row. Of more than 50 classes the first 50 are drawn.
    Labels are broken into lines, not cut: the rows get higher if necessary.
    """
    labels = images.labels[:_MOST_ROWS]
    with lettering(title, *labels):
        if len(images.labels) > _MOST_ROWS:
            title += f" (the first {_MOST_ROWS} of {len(images.labels):,} classes)"
        _, high, wide = images.images.shape[1:]
        tiles, names = [], []
        for target, label in enumerate(labels):
            members = (images.targets == target).nonzero().flatten()
            order = torch.randperm(len(members), generator=generator)
            chosen = images.images[members[order[:_COLUMNS]]]
            missing = [np.full((high, wide, 3), np.nan)] * (_COLUMNS - len(chosen))
            tiles += [_coloured(pixels(image)) for image in chosen] + missing
            names.append(f"{label} ({len(members):,})")
        whole = np.nan_to_num(mosaic(np.stack(tiles), _COLUMNS), nan=_GAP).astype(np.uint8)
        names, longest, row = rows(names, _ROW, "medium")
        size = (row * _COLUMNS * wide / high + longest + 0.3, row * len(labels) + 0.8)
        figure = Figure(figsize=size, layout="compressed")
        heading(figure, title)
        axes = figure.subplots()
        axes.imshow(whole)
        bare(axes)
        places = centres(whole.shape[0], high, len(labels))
        axes.set_yticks(places, names, multialignment="right")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        return png(figure)


def _coloured(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert a picture (H, W) or (H, W, 3) to (H, W, 3)."""
    return picture if picture.ndim == 3 else np.stack([picture] * 3, axis=-1)
