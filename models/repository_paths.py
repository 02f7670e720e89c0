"""Which folders are model repositories by default, and how a variable names several.

Imports no torch: the settings of the service are read without it.
"""

import json
import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from models.errors import OptionError

VARIABLE = "FANLIGHT_REPOSITORY"
OWN = Path("checkpoints")
"""Where training publishes by default: in the working folder."""
SHIPPED = Path(__file__).parent / "checkpoints"
"""The models that come with Fanlight, also in an installed package."""
USUAL = (OWN, SHIPPED)
"""Where models are looked for by default. A model in an earlier folder hides one of its name."""


def split(text: str) -> tuple[Path, ...]:
    """`a:b` (`a;b` on Windows), or the JSON list `["a", "b"]`, as folders.

    Raises `OptionError` for a text that names no folder, or a list with other things in it.
    """
    if text.lstrip().startswith("["):
        try:
            names = json.loads(text)
        except ValueError as error:
            raise OptionError(f"{text!r} is no JSON list of folders: {error}") from None
        if not all(isinstance(name, str) for name in names):
            raise OptionError(f"{text!r} must hold folder names alone, as texts")
    else:
        names = text.split(os.pathsep)
    folders = tuple(Path(name) for name in names if name.strip())
    if not folders:
        raise OptionError(
            f"{text!r} names no folder; name one, or several with {os.pathsep!r} between them"
        )
    return folders


def join(folders: Iterable[Path]) -> str:
    """The folders as one text that `split` takes apart again."""
    names = [str(folder) for folder in folders]
    if any(os.pathsep in name or name.startswith("[") for name in names):
        return json.dumps(names, ensure_ascii=False)
    return os.pathsep.join(names)


def distinct(folders: Iterable[Path]) -> tuple[Path, ...]:
    """The folders without those that are another path to an earlier one."""
    found: dict[str, Path] = {}
    for folder in folders:
        found.setdefault(os.path.realpath(folder), folder)
    return tuple(found.values())


def chosen() -> tuple[Path, ...]:
    """The folders named by FANLIGHT_REPOSITORY, otherwise the usual ones. Raises `OptionError`."""
    if text := os.environ.get(VARIABLE):
        try:
            return split(text)
        except OptionError as error:
            raise OptionError(f"{error} (variable {VARIABLE})") from None
    return USUAL


def to_publish() -> Path:
    """The first of the chosen folders that can be written, but never that of the package.

    Where none can be, the first of them: publishing there tells what is wrong.
    """
    ours = os.path.realpath(SHIPPED)
    own = [each for each in chosen() if os.path.realpath(each) != ours] or [OWN]
    return next(filter(_is_writable, own), own[0])


def options(folders: Sequence[Path]) -> str:
    """The options that name these folders on a command line; empty for the usual ones.

    The result begins with a space.
    """
    if tuple(folders) == chosen() or (len(folders) == 1 and folders[0] in chosen()):
        return ""
    return "".join(f" --repository {shlex.quote(str(folder))}" for folder in folders)


def _is_writable(folder: Path) -> bool:
    """Whether the folder can be written, or made."""
    there = next((each for each in (folder, *folder.absolute().parents) if each.exists()), folder)
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
