"""The sheet that strokes are drawn on: the area that it covers, and the lines printed on it."""

import numpy as np
from numpy.typing import NDArray

from models.images.framing.components import Mask, components, grown
from models.images.framing.ground import Floats

_STEP = 6.0  # levels between neighbours that may be an edge
_STEADY = 4.0  # times the median step
_LEAST = 0.25  # of the picture that a sheet covers
_LINE = 4.0  # levels that a line differs by
_SAMPLE = 3  # pixels a step, where lines are looked for
_LINES = 4  # fewer are not taken for a ruled sheet: they may be strokes


def sheet(levels: Floats) -> Mask:
    """Return a mask of the largest area without edges in a picture (C, H, W): the sheet without its
    strokes, or what lies around it. All true if no area is large."""
    _, height, width = levels.shape
    if min(height, width) < 16:
        return np.ones((height, width), bool)
    even = levels[:, : height // 2 * 2, : width // 2 * 2]
    half = (even[:, ::2, ::2] + even[:, 1::2, ::2] + even[:, ::2, 1::2] + even[:, 1::2, 1::2]) / 4
    down = np.abs(np.diff(half, axis=1, append=half[:, -1:])).max(0)
    across = np.abs(np.diff(half, axis=2, append=half[:, :, -1:])).max(0)
    step = np.maximum(down, across)
    labels, count = components(~grown(step > max(_STEP, _STEADY * float(np.median(step))), 1))
    sizes = np.bincount(labels[labels >= 0], minlength=count)
    if not count or sizes.max() < _LEAST * labels.size:
        return np.ones((height, width), bool)
    found = np.zeros((height, width), bool)
    doubled = (labels == sizes.argmax()).repeat(2, 0).repeat(2, 1)
    found[: doubled.shape[0], : doubled.shape[1]] = doubled
    return found


def ruled(residual: Floats) -> Floats:
    """Return the lines of squared or lined paper in the residual (C, H, W) over the ground: medians
    of whole rows and columns. Zeros where there are too few lines."""
    lines = np.zeros_like(residual)
    for axis in (2, 1):
        grey = residual.mean(0)
        sample = grey[:, ::_SAMPLE] if axis == 2 else grey[::_SAMPLE]
        if _groups(np.abs(np.median(sample, axis - 1)) > _LINE) >= _LINES:
            profile = np.median(residual, axis, keepdims=True)
            lines = lines + profile
            residual = residual - profile
    return lines


def _groups(is_line: NDArray[np.bool_]) -> int:
    """Count the runs of true values."""
    return int(np.count_nonzero(np.diff(np.concatenate([[0], is_line.astype(np.int8)])) > 0))
