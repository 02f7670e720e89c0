"""An image as a client sent it, not yet decoded."""

from typing import NamedTuple


class EncodedImage(NamedTuple):
    """The bytes of an image file.

    `media_type` is what the client declared, empty if it declared none; the bytes decide the
    format. `filename` is empty if the client named none. `fault` says why the bytes could not be
    read from the request, or is None; the decoder reports it with all other invalid images.
    """

    encoded: bytes
    media_type: str
    filename: str
    fault: str | None = None
