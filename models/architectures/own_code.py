"""The user's own code: `package.module:Name` → permission checked → module imported → the object.

Only modules that `models.permission` allows are imported. Only classes of torch.nn.Module,
functions of an allowed module and copies of a network are called.
"""

import importlib
import sys
import traceback
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import BuiltinFunctionType, ModuleType
from typing import Any

import torch
from torch import nn

from models.errors import FanlightError
from models.permission import FORM, OURS, Permission, module_problem
from models.registry import proposal

FAILURES = (Exception, SystemExit)
"""Exceptions in the user's code that are reported as its fault; KeyboardInterrupt is not."""
_MAX_SAID = 300  # letters of an error's own message
_ROOT = Path(__file__).parents[2]


def is_want_of_memory(error: BaseException) -> bool:
    """Return whether a forward pass failed because there was not enough memory, on any device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


class CodeError(FanlightError):
    """Code that may not be imported, or that is no network; the message says what to do."""


def find(reference: str, permission: Permission) -> Any:
    """Import the module of `package.module:Name`; return the class, function or network it names.

    Raises `CodeError` if the import is not allowed, or if the object is none of these.
    """
    module, _, name = reference.partition(":")
    if not name.isidentifier() or name.startswith("__"):
        raise CodeError(f"{reference!r} names no network: write {FORM}")
    if (problem := module_problem(module)) is not None:
        raise CodeError(f"{reference!r}: {problem}")
    if not permission.allows(module):
        raise CodeError(
            f"{reference} is no network of Fanlight's, and its code may not be run here: allow "
            f"it with --architectures {module} (setting architectures, variable "
            "FANLIGHT_ARCHITECTURES)"
        )
    found = _named(_imported(module, permission.folder), name)
    if (problem := _object_problem(found, permission)) is not None:
        raise CodeError(f"{reference} {problem}")
    return found


def _imported(module: str, folder: Path | None) -> ModuleType:
    """Import a module. If it isn't found otherwise, `folder` is appended to `sys.path`."""
    root = module.partition(".")[0]
    try:
        is_there = root in sys.modules or find_spec(root) is not None
        if not is_there and folder is not None and str(folder) not in sys.path:
            sys.path.append(str(folder))
        importlib.invalidate_caches()  # the file may have been written since
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise CodeError(
                f"{module} can't be imported{place_of(error)}: it needs {error.name}, which is "
                "not installed"
            ) from error
        raise CodeError(f"there is no module {error.name}; {_looked_in(module, folder)}") from error
    except SystemExit as error:
        raise CodeError(
            f"{module} ends the program when it is imported{place_of(error)}: put what it does as "
            'a program under if __name__ == "__main__":'
        ) from error
    except Exception as error:
        failed = CodeError(f"{module} can't be imported{place_of(error)}: {_said(error)}")
        failed.add_note(traceback_of(error))
        raise failed from error


def _looked_in(module: str, folder: Path | None) -> str:
    if folder is None:
        return "install it, or start where it lies"
    try:
        names = [each.stem for each in folder.iterdir() if each.suffix == ".py" or each.is_dir()]
    except OSError:
        names = []
    near = proposal(module.partition(".")[0], names)
    return f"{near}it was looked for among the installed packages, and in {folder}"


def _named(module: ModuleType, name: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        there = [each for each, value in vars(module).items() if _is_network(value, module)]
        where = f" ({module.__file__})" if module.__file__ else ""
        raise CodeError(
            f"{module.__name__}{where} has no {name!r}; {proposal(name, there)}"
            f"its networks are {', '.join(there) or 'none'}"
        ) from None
    except FAILURES as error:  # a module's own __getattr__
        raise CodeError(f"{module.__name__}:{name} can't be read: {error!r}") from error


def _is_network(value: object, module: ModuleType) -> bool:
    if isinstance(value, type):
        return issubclass(value, nn.Module) and value.__module__ == module.__name__
    return isinstance(value, nn.Module)


def _object_problem(found: Any, permission: Permission) -> str | None:
    """Return why an object is no factory of networks, or must not be called; None if it may be."""
    if isinstance(found, nn.Module):
        return None
    if not callable(found) or isinstance(found, BuiltinFunctionType):
        return (
            f"is an object of {type(found).__name__}: name a class of torch.nn.Module, a function "
            "that returns one, or one itself"
        )
    if isinstance(found, type) and not issubclass(found, nn.Module):
        return "is a class, but none of torch.nn.Module"
    made_by = found.func if isinstance(found, partial) else found
    module = getattr(made_by, "__module__", None)
    if not isinstance(module, str) or not permission.allows(module):
        return (
            f"is only imported there: it is defined in {module}, so name "
            f"{module}:{getattr(made_by, '__name__', '…')}"
        )
    return None


def reason(error: BaseException) -> str:
    """Format an error of the user's code with its place: `ValueError: no pixels (net.py, line
    3)`."""
    return _said(error) + place_of(error)


def _said(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return "SystemExit, which ends the program (sys.exit)"
    said = str(error).strip().partition("\n")[0][:_MAX_SAID]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def place_of(error: BaseException) -> str:
    """Format where the user's code raised an error: ` (net.py, line 3)`; empty if elsewhere."""
    frames = _own_frames(error)
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}, line {error.lineno})"
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""


def traceback_of(error: BaseException) -> str:
    """Return the traceback of an error, with the frames of the user's code only."""
    lines = traceback.format_list(_own_frames(error)) + traceback.format_exception_only(error)
    return "".join(lines).rstrip()


def _own_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Return the frames of an error outside of Fanlight, of Python and of installed packages."""
    return [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<")
        and "site-packages" not in frame.filename
        and not any(Path(frame.filename).is_relative_to(_ROOT / each) for each in OURS)
        and not Path(frame.filename).is_relative_to(Path(importlib.__file__).parents[1])
    ]
