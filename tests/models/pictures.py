"""Pictures of one colour, their levels, and the inputs that networks take of them."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from models.preprocessing import InputSpec

Levels = npt.NDArray[np.uint8]
ORIENTATION = 0x0112  # of EXIF
WHITE = (255, 255, 255)
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def levels(image: Image.Image) -> Levels:
    return np.asarray(image, dtype=np.uint8)


def plain(size: tuple[int, int], color: tuple[int, ...] | int, mode: str = "RGB") -> Image.Image:
    return Image.new(mode, size, color)


def beside(*images: Image.Image) -> Image.Image:
    return Image.fromarray(np.concatenate([levels(image) for image in images], axis=1))


def spec(channels: int = 3, height: int = 8, width: int = 8, **fields: Any) -> InputSpec:
    return InputSpec.model_validate(
        {"channels": channels, "height": height, "width": width, **fields}
    )
