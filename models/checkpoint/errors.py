"""The errors that everything which reads or writes checkpoints raises."""

from models.errors import FanlightError, OptionError


class CheckpointError(FanlightError):
    """A checkpoint that can't be written or must not be trusted; the message says why."""


class ModelNameError(CheckpointError, OptionError):
    """A name that no model can have."""
