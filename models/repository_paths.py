"""The folders that are model repositories by default, and the variable that names others.

A repository elsewhere is given as a path too, in which the slashes of its address are merged:
`models.remote.address` tells it from a folder. Imports no torch: the settings of the service are
read without it.
"""

import json
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from models.errors import OptionError
from models.remote.address import address_of

VARIABLE = "FANLIGHT_REPOSITORY"
OWN = Path("checkpoints")
"""Where training publishes by default: in the working folder."""
SHIPPED = Path(__file__).parent / "checkpoints"
"""The models that come with Fanlight, also in an installed package."""
_SEPARATOR = re.compile(rf"{os.pathsep}(?!//|\d+(?:/|$))")
"""Between folders; not the colon of an address, as in https://example.org:8000/models."""
_WITH_USER = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s]*@\S*")
USUAL = (OWN, SHIPPED)
"""The default folders of models. A model in an earlier folder hides one of the same name."""


def split(text: str) -> tuple[Path, ...]:
    """Split `a:b` (`a;b` on Windows), or the JSON list `["a", "b"]`, into folders.

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
        if with_user := _WITH_USER.search(text):  # whose colon would be taken for a separator
            address_of(with_user[0])
        names = _SEPARATOR.split(text) if "://" in text else text.split(os.pathsep)
    folders = tuple(Path(name) for name in names if name.strip())
    for folder in folders:
        address_of(folder)  # raises for one that can't be
    if not folders:
        raise OptionError(
            f"{text!r} names no folder; name one, or several with {os.pathsep!r} between them"
        )
    return folders


def join(folders: Iterable[Path]) -> str:
    """Join folders to a text that `split` can take apart."""
    names = [str(address_of(folder) or folder) for folder in folders]
    if any(os.pathsep in name or name.startswith("[") for name in names):
        return json.dumps(names, ensure_ascii=False)
    return os.pathsep.join(names)


def distinct(folders: Iterable[Path]) -> tuple[Path, ...]:
    """Return the folders without further paths to the same folder."""
    found: dict[str, Path] = {}
    for folder in folders:
        found.setdefault(os.path.realpath(folder), folder)
    return tuple(found.values())


def chosen() -> tuple[Path, ...]:
    """Return the folders in FANLIGHT_REPOSITORY, else the default ones; raise `OptionError`."""
    if text := os.environ.get(VARIABLE):
        try:
            return split(text)
        except OptionError as error:
            raise OptionError(f"{error} (variable {VARIABLE})") from None
    return USUAL


def to_publish() -> Path:
    """Return the first of the chosen folders that can be written, save that of the package.

    If none can be, return the first: publishing there raises an error that says what is wrong.
    """
    ours = os.path.realpath(SHIPPED)
    folders = [each for each in chosen() if address_of(each) is None]
    own = [each for each in folders if os.path.realpath(each) != ours] or [OWN]
    return next(filter(_is_writable, own), own[0])


def options(folders: Sequence[Path]) -> str:
    """Return the command-line options that name these folders; empty where none are needed.

    None are needed for all the chosen folders, or for a single one of them. The result begins with
    a space.
    """
    if tuple(folders) == chosen() or (len(folders) == 1 and folders[0] in chosen()):
        return ""
    return "".join(
        f" --repository {shlex.quote(str(address_of(folder) or folder))}" for folder in folders
    )


def _is_writable(folder: Path) -> bool:
    """Return whether the folder can be written to, or made."""
    there = next((each for each in (folder, *folder.absolute().parents) if each.exists()), folder)
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
