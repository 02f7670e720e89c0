"""An image as a path, bytes, an image of Pillow or an array → the bytes of a file."""

import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Picture: TypeAlias = str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8]
"""A path, the bytes of a file, an image of Pillow, or an array (H, W) or (H, W, C) of uint8."""
Pictures: TypeAlias = Picture | Sequence[Picture]
_MOST_CHANNELS = 4
File = tuple[str, bytes]
"""The name of a file, empty if it has none, and its bytes."""


def several(given: Pictures) -> tuple[list[Picture], bool]:
    """Return the pictures as a list, and True if they were given as a list or tuple."""
    if isinstance(given, list | tuple):
        return list(given), True
    return [given], False  # type: ignore[list-item] # what is no list is a picture


def file(given: Picture) -> File:
    """Convert a picture to a file; images of Pillow and arrays become PNG.

    Raises `OSError` for a file that can't be read, `ValueError` for a path that no file can have,
    and `TypeError` for a value that is no picture.
    """
    if isinstance(given, bytes | bytearray | memoryview):
        return "", bytes(given)
    if isinstance(given, str | os.PathLike):
        path = Path(given)
        return path.name, path.read_bytes()
    if isinstance(given, np.ndarray):
        given = _image(given)
    if isinstance(given, Image.Image):
        given = _upright(given)
        written = BytesIO()
        given.save(written, "PNG", compress_level=1)
        return "", written.getvalue()
    raise TypeError(
        f"{type(given).__name__} is no image: give a path, the bytes of a file, an image of "
        "Pillow, or an array of uint8"
    )


_OF_PNG = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
_COLOURS = {"CMYK": "RGB", "YCbCr": "RGB", "HSV": "RGB", "LAB": "RGB", "RGBX": "RGB"}
_ALPHA = {"RGBa": "RGBA", "La": "LA", "PA": "RGBA"}


def _upright(image: Image.Image) -> Image.Image:
    """Turn the image as its EXIF says, as a viewer does, and convert it to a mode that PNG has."""
    image = ImageOps.exif_transpose(image)
    if image.mode in _OF_PNG:
        return image
    mode = (_COLOURS | _ALPHA).get(image.mode)
    if mode is None:
        raise TypeError(
            f"an image of the mode {image.mode} can't be sent: convert it, to 'L' or 'RGB'"
        )
    return image.convert(mode)


def _image(array: NDArray[Any]) -> Image.Image:
    channels = 1 if array.ndim == 2 else array.shape[-1]
    if (
        array.dtype != np.uint8
        or array.ndim not in (2, 3)
        or not array.size
        or not 1 <= channels <= _MOST_CHANNELS
    ):
        raise TypeError(
            f"an array of shape {array.shape} and {array.dtype} is no image: it must be uint8, "
            "(height, width) or (height, width, channels) with 1 to 4 channels"
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return Image.fromarray(array)
