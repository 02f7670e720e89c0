"""What people have of an image → the bytes of a file."""

import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture: TypeAlias = str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8]
"""A path, the bytes of a file, an image of Pillow, or an array (H, W) or (H, W, C) of uint8."""
Pictures: TypeAlias = Picture | Sequence[Picture]
File = tuple[str, bytes]
"""Its name, empty if it has none, and its bytes."""


def several(given: Pictures) -> tuple[list[Picture], bool]:
    """The pictures, and whether they came as a list."""
    if isinstance(given, list | tuple):
        return list(given), True
    return [given], False  # type: ignore[list-item] # what is no list is a picture


def file(given: Picture) -> File:
    """Raises `OSError` for a file that can't be read, `TypeError` for what is no picture."""
    if isinstance(given, bytes | bytearray | memoryview):
        return "", bytes(given)
    if isinstance(given, str | os.PathLike):
        path = Path(given)
        return path.name, path.read_bytes()
    if isinstance(given, np.ndarray):
        given = _image(given)
    if isinstance(given, Image.Image):
        written = BytesIO()
        given.save(written, "PNG", compress_level=1)
        return "", written.getvalue()
    raise TypeError(
        f"{type(given).__name__} is no image: give a path, the bytes of a file, an image of "
        "Pillow, or an array of uint8"
    )


def _image(array: NDArray[Any]) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim not in (2, 3):
        raise TypeError(
            f"an array of shape {array.shape} and {array.dtype} is no image: it must be uint8, "
            "(height, width) or (height, width, channels)"
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return Image.fromarray(array)
