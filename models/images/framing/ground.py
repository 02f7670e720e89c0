"""The ground that the subject lies on: a smooth surface, on which the subject has little effect."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]
_ROUNDS = 8  # of reweighting
_POINTS = 900
_FEWEST = 50  # points that a surface is fitted to
_COARSE = 4  # pixels a step, where light is followed
_RIDGE = 1e-4 * np.eye(6, dtype=np.float32)
_SMALLEST = 2.0  # levels; a residual below it weighs no more


def fitted(
    levels: Floats, *, ring: float | None = None, outside: NDArray[np.bool_] | None = None
) -> Floats:
    """Fit the ground under a picture, (C, H, W) levels, as a quadratic surface of the same shape.

    Minimises the sum of absolute residuals by reweighted least squares (Holland and Welsch 1977),
    which tolerates that up to half of the points are not ground. With `ring`, only points of the
    border count, whose width is that fraction of the shorter side. Points of `outside` (H, W) don't
    count.
    """
    channels, height, width = levels.shape
    terms = _terms(height, width)
    points = _points(height, width, ring)
    if outside is not None and not (inside := ~outside[points]).all() and inside.sum() > _FEWEST:
        points = points[0][inside], points[1][inside]
    a = terms[:, points[0], points[1]]  # (6, points)
    b = levels[:, points[0], points[1]]  # (C, points)
    residual = b - np.median(b, 1)[:, None]
    for _ in range(_ROUNDS):
        weights = 1 / np.maximum(sum(np.abs(residual)), _SMALLEST)
        weighted = a * weights
        surface = np.linalg.solve(weighted @ a.T + _RIDGE, weighted @ b.T)  # (6, C)
        residual = b - surface.T @ a
    return np.asarray(surface.T @ terms.reshape(6, -1)).reshape(channels, height, width)


def smoothed(levels: Floats, is_ground: NDArray[np.bool_], surface: Floats) -> Floats:
    """Add the local mean of the ground's deviation to the surface, where enough is ground."""
    _, height, width = levels.shape
    coarse = np.s_[..., ::_COARSE, ::_COARSE]
    weight = is_ground[coarse].astype(np.float32)[None]
    radius = max(1, max(weight.shape) // 10)
    total = _box((levels[coarse] - surface[coarse]) * weight, radius)
    over = total / (_box(weight, radius) + 0.05 * (2 * radius + 1) ** 2)
    wide = [
        np.asarray(Image.fromarray(each).resize((width, height), Image.Resampling.BILINEAR))
        for each in np.ascontiguousarray(over, np.float32)
    ]
    return np.asarray(surface + np.stack(wide))


def _box(values: Floats, radius: int) -> Floats:
    """Return the sums over squares of 2 · radius + 1 pixels of (C, H, W), 0 beyond the edges."""
    side = 2 * radius + 1
    total = np.pad(values, ((0, 0), (radius + 1, radius), (radius + 1, radius)))
    total = total.cumsum(1).cumsum(2)
    rows = total[:, side:] - total[:, :-side]
    return np.asarray(rows[..., side:] - rows[..., :-side])


@lru_cache(maxsize=8)
def _terms(height: int, width: int) -> Floats:
    """Return the terms of a quadratic surface at each pixel, 1, x, y, x², x · y, y²: (6, H, W)."""
    down, across = (np.linspace(-1, 1, side, dtype=np.float32) for side in (height, width))
    y, x = np.broadcast_arrays(down[:, None], across)
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y])


@lru_cache(maxsize=8)
def _points(height: int, width: int, ring: float | None) -> tuple[NDArray[np.intp], ...]:
    """Return rows and columns of about `_POINTS` pixels; with `ring`, of the border only."""
    mask = np.ones((height, width), bool)
    if ring is not None:
        thick = max(1, round(ring * min(height, width)))
        mask[thick : height - thick, thick : width - thick] = False
    step = max(1, int((mask.sum() / _POINTS) ** 0.5))
    grid = np.zeros_like(mask)
    grid[::step, ::step] = True
    grid[-1:, ::step] = grid[::step, -1:] = True
    return np.nonzero(mask & grid)
