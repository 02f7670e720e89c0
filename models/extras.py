"""Packages that Fanlight does not need in every installation: its extras."""

from importlib import import_module
from types import ModuleType

from models.errors import InstallationError


def imported(module: str, extra: str, why: str) -> ModuleType:
    """Import a module of the package that an extra of Fanlight brings.

    Raises `InstallationError` if the package is not installed, or if it is a namespace without the
    part that the module is in. Its message begins with `why`, such as "an ONNX graph". If an
    installed package lacks another one, its `ModuleNotFoundError` is raised unchanged.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if not f"{module}.".startswith(f"{missing}."):
            raise
        raise InstallationError(
            f"{why} needs {missing}, which is not installed: pip install 'fanlight[{extra}]'"
        ) from None
