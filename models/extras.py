"""Packages that Fanlight does not need in every installation: its extras."""

from importlib import import_module
from types import ModuleType

from models.errors import InstallationError


def imported(module: str, extra: str, why: str) -> ModuleType:
    """Import a module of the package that an extra of Fanlight brings.

    `why` begins the message of the `InstallationError` that is raised where the package is not
    installed, such as "an ONNX graph". A package that is installed and lacks one of its own fails
    as it does without this function.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise InstallationError(
            f"{why} needs {package}, which is not installed: pip install 'fanlight[{extra}]'"
        ) from None
