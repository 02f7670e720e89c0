"""What can be wrong with a graph, and a package that is missing."""

from importlib import import_module
from types import ModuleType

from models.errors import FanlightError, InstallationError


class GraphError(FanlightError):
    """An ONNX graph that can't be used or must not be trusted; the message says why."""


def needed(module: str) -> ModuleType:
    """Import onnx or onnxruntime; raises `InstallationError` where it is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise InstallationError(
            f"an ONNX graph needs {error.name}, which is not installed; pip install "
            "'fanlight[onnx]'"
        ) from error


def reason(error: BaseException) -> str:
    """The first words of a library's message, on one line."""
    text = " ".join(str(error).split())
    return text[:500] or type(error).__name__
