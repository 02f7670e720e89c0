"""WebP pictures, decoded by libwebp directly: 8 bytes of memory per pixel, where Pillow needs 16.

Pillow treats every WebP as an animation, which needs two canvases and two copies. The same library,
which is loaded with Pillow, has a function for a single picture. Where it can't be found (a Pillow
that was linked statically), and for animations, Pillow decodes.
"""

import ctypes
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from models.errors import ImageError

_EXTENDED, _LOSSLESS = b"VP8X", b"VP8L"
_ALPHA_FLAG, _ANIMATION_FLAG = 0x10, 0x02  # of VP8X
_ALPHA_BIT = 0x10  # of the last byte of the header of VP8L


def picture(encoded: bytes, size: tuple[int, int]) -> Image.Image | None:
    """Decode a picture to `RGBA` or `RGBX`; raise `ImageError` if it is broken.

    `size` is that of the header. None for an animation, and where libwebp isn't found.
    """
    kind, flags = encoded[12:16], encoded[20] if len(encoded) > 20 else 0
    decode = _decode()
    if decode is None or (kind == _EXTENDED and flags & _ANIMATION_FLAG):
        return None
    width, height = size
    levels = np.empty((height, width, 4), np.uint8)
    pointer = levels.ctypes.data_as(ctypes.c_void_p)
    if not decode(encoded, len(encoded), pointer, levels.nbytes, 4 * width):
        raise ImageError("corrupt or truncated: a WebP whose picture can't be decoded")
    transparent = (kind == _EXTENDED and flags & _ALPHA_FLAG) or (
        kind == _LOSSLESS and encoded[24] & _ALPHA_BIT
    )
    mode = "RGBA" if transparent else "RGBX"
    return Image.frombuffer(mode, size, levels, "raw", mode, 0, 1)  # without a copy


@cache
def _decode() -> Any:
    """Return `WebPDecodeRGBAInto` of libwebp (decode.h, all its versions), None if not found."""
    try:
        from PIL import _webp

        function = ctypes.CDLL(_webp.__file__).WebPDecodeRGBAInto
    except (ImportError, OSError, AttributeError):
        return None
    size, pointer = ctypes.c_size_t, ctypes.c_void_p
    function.argtypes = [ctypes.c_char_p, size, pointer, size, ctypes.c_int]
    function.restype = pointer
    return function
