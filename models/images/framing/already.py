"""A quick check whether a small picture is framed as the training images are."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models.images.framing.rule import Rule

LARGEST_LOOKED_AT = 128  # pixels a side of a picture that may be framed already
_BLACK = 8  # level of the ground, at most
_GROUND = bytes(range(10))  # levels that don't belong to the subject
_OFF = 1.6 / 28  # of the side, that the subject's longer side may be off
_OFF_CENTRE = 0.8 / 28  # the same of its centre of mass


def already(levels: NDArray[np.uint8], rule: Rule) -> bool:
    """True if a picture (H, W) is framed as the training images are, light on black."""
    height, width = levels.shape
    if height != width:
        return False
    rows = _extent(levels.tobytes(), width)
    columns = _extent(levels.max(0).tobytes(), 1)
    if rows is None or columns is None:
        return False
    longer = max(rows[1] - rows[0], columns[1] - columns[0])
    wanted = rule.fill * height
    if not wanted - 2 * _OFF * height <= longer <= wanted + _OFF * height:
        return False
    touches = not (min(rows[0], columns[0]) > 0 and max(rows[1], columns[1]) < height)
    if touches and not _is_dark_around(levels):
        return False
    return rule.centre == "box" or _is_centred(levels, rule.middle)


def _extent(levels: bytes, length: int) -> tuple[int, int] | None:
    """Return the first line with pixels of the subject, and the line behind the last one.

    A line has `length` levels. None if there is no subject.
    """
    begun = levels.lstrip(_GROUND)  # far quicker than an array's maxima
    if not begun:
        return None
    ended = len(levels.rstrip(_GROUND))
    return (len(levels) - len(begun)) // length, -(-ended // length)


def _is_dark_around(levels: NDArray[np.uint8]) -> bool:
    """True if half of the pixels along the edges are black."""
    edges = (levels[0], levels[-1], levels[:, 0], levels[:, -1])
    return int(sum(np.count_nonzero(edge <= _BLACK) for edge in edges)) >= 2 * len(levels)


def _is_centred(levels: NDArray[np.uint8], middle: float) -> bool:
    """True if the light pixels' centre of mass is about `middle` (0 to 1) across and down."""
    side = len(levels)
    total, across, down = (_moments(side) @ levels.astype(np.float32).ravel()).tolist()
    off = max(abs(across / total - middle * side), abs(down / total - middle * side))
    return bool(off <= _OFF_CENTRE * side)


@lru_cache(maxsize=8)
def _moments(side: int) -> NDArray[np.float32]:
    """Return 1, x and y of each pixel's middle, (3, side²): a product with the levels gives their
    sum and the sums for the centre of mass."""
    down, across = np.mgrid[:side, :side] + 0.5
    return np.stack([np.ones(side * side), across.ravel(), down.ravel()]).astype(np.float32)
