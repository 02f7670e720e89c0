"""A test for images of a single colour, which show nothing and so are never familiar."""

import numpy as np
from numpy.typing import NDArray

LEVELS = 8  # of 255: what each channel of a blank image spans at most


def is_blank(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which images (N, C, H, W) are of one colour, within `LEVELS` levels: bool (N,)."""
    count, channels, height, width = pixels.shape
    flat = pixels.reshape(count * channels, height * width)  # each batch is looked at: few calls
    spans = (flat.max(1) - flat.min(1)).reshape(count, channels)
    found: NDArray[np.bool_] = (spans <= LEVELS).all(1)
    return found
