"""What can be wrong with a graph, and the packages that graphs need."""

from types import ModuleType

from models import extras
from models.errors import FanlightError


class GraphError(FanlightError):
    """An ONNX graph that can't be used or must not be trusted; the message says why."""


def needed(module: str) -> ModuleType:
    """Import onnx or onnxruntime; raises `InstallationError` where it is not installed."""
    return extras.imported(module, "onnx", "an ONNX graph")


def reason(error: BaseException) -> str:
    """Return the first 500 characters of an error's message, on one line."""
    text = " ".join(str(error).split())
    return text[:500] or type(error).__name__
