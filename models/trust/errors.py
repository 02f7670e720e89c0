"""The error that calibration and familiarity raise."""

from models.errors import FanlightError


class TrustError(FanlightError):
    """Calibration or familiarity can't be fitted, read or used; the message says why."""
