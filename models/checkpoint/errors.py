"""The error that everything which reads or writes checkpoints raises."""

from models.errors import FanlightError


class CheckpointError(FanlightError):
    """A checkpoint that can't be written or must not be trusted; the message says why."""
