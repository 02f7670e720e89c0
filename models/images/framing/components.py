"""The connected parts of a mask, and operations that fill and grow masks."""

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Labels = NDArray[np.intp]


def components(mask: Mask) -> tuple[Labels, int]:
    """Number the connected parts of a mask (H, W); pixels that touch at a corner are connected.

    Returns (H, W) with -1 outside the mask and the part's number from 0 inside, and their count.
    The work is bounded: each round joins every part to a neighbour with a lower number.
    """
    rows, columns = np.nonzero(mask)
    number = np.full((mask.shape[0] + 2, mask.shape[1] + 2), -1, np.intp)
    number[rows + 1, columns + 1] = np.arange(len(rows))
    first, second = [], []
    for down, right in ((0, 1), (1, -1), (1, 0), (1, 1)):
        other = number[rows + 1 + down, columns + 1 + right]
        joined = np.nonzero(other >= 0)[0]
        first.append(joined)
        second.append(other[joined])
    a, b = np.concatenate(first), np.concatenate(second)
    root = np.arange(len(rows))
    while True:
        low = np.minimum(root[a], root[b])
        lower = root.copy()
        np.minimum.at(lower, root[a], low)
        np.minimum.at(lower, root[b], low)
        while True:  # each pixel takes the number of its number
            further = lower[lower]
            if (further == lower).all():
                break
            lower = further
        if (lower == root).all():
            break
        root = lower
    _, labels = np.unique(root, return_inverse=True)
    found = np.full(mask.shape, -1, np.intp)
    found[rows, columns] = labels
    return found, int(labels.max()) + 1 if len(labels) else 0


def filled(mask: Mask) -> Mask:
    """Fill the holes of a mask: pixels outside of it that don't connect to the edge."""
    outside, count = components(~np.pad(mask, 1))
    del count
    return np.asarray((outside != outside[0, 0])[1:-1, 1:-1])


def grown(mask: Mask, pixels: int) -> Mask:
    """Grow a mask by so many pixels in every direction, in a square."""
    padded = np.pad(mask, pixels)
    height, width = mask.shape
    rows = padded[:, pixels : pixels + width].copy()
    for step in range(2 * pixels + 1):
        rows |= padded[:, step : step + width]
    found = rows[pixels : pixels + height].copy()
    for step in range(2 * pixels + 1):
        found |= rows[step : step + height]
    return found
