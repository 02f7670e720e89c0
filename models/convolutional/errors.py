"""The error of networks that have no fully convolutional form."""

from models.errors import FanlightError


class NotConvolutionalError(FanlightError):
    """The network has no fully convolutional form; the message is what it would need: a noun."""
