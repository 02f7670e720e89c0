"""An image as a client sent it, not yet decoded."""

from typing import NamedTuple


class EncodedImage(NamedTuple):
    """The bytes of an image file.

    `media_type` is what the client declared, empty if it declared none: the bytes decide.
    `filename` is empty if the client named none.
    """

    encoded: bytes
    media_type: str
    filename: str
