"""An image as a client sent it, not yet decoded."""

from typing import NamedTuple


class EncodedImage(NamedTuple):
    """The bytes of an image file.

    `media_type` is what the client declared, empty if it declared none: the bytes decide.
    `filename` is empty if the client named none. `fault` is what is wrong where the bytes can't be
    had from the request, or None; the error that names all invalid images tells it.
    """

    encoded: bytes
    media_type: str
    filename: str
    fault: str | None = None
