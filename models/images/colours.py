"""The scale of colours that feature maps are drawn with: by the service, the page and the training.

`service/static/playground/inside/colours.js` holds the same five colours; a test compares them.
"""

import numpy as np
from numpy.typing import NDArray

VIRIDIS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
"""Colours of viridis (van der Walt and Smith 2015) at levels 0, 1/4, 1/2, 3/4 and 1; between them
it is linear."""


def viridis(levels: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Colour an array of levels in [0, 1], of any shape (…): RGB from 0 to 255, of shape (…, 3)."""
    places = np.linspace(0, 1, len(VIRIDIS))
    channels = [np.interp(levels, places, channel) for channel in zip(*VIRIDIS, strict=True)]
    return np.stack(channels, -1).round().astype(np.uint8)
