"""Packages that Fanlight does not need in every installation: its extras."""

from importlib import import_module
from types import ModuleType

from models.errors import InstallationError


def imported(module: str, extra: str, why: str) -> ModuleType:
    """Import a module of the package that an extra of Fanlight brings.

    `why` begins the message of the `InstallationError` that is raised where the package is not
    installed, or not the part of a namespace that the module is in, such as "an ONNX graph". A
    package that is installed and lacks another fails as it does without this function.
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
