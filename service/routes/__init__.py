"""The endpoints, one subject a file. Each module here has a `router`, which the app includes."""

import importlib
import pkgutil

from fastapi import APIRouter


def routers() -> list[APIRouter]:
    """The routers of all modules in this package, by name of the module."""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    return [importlib.import_module(f"{__name__}.{name}").router for name in names]
