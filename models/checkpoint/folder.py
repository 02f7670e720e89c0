"""A repository folder: the models and versions in it, by their names.

    folder → its form → names of models → numbers of versions → the place of one

The forms stand in `models.checkpoint.place`.
"""

import json
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeGuard

from models import files
from models.checkpoint.errors import CheckpointError, ModelNameError
from models.checkpoint.place import CARD, NUMBER, Form, Place
from models.registry import proposal

NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
MAX_NAME = 128  # characters
RESERVED = ("stats",)  # /v2/models/stats tells of all models
_SHOWN = 40  # characters of a name that is too long
MAX_ENTRIES = 100_000  # files and folders in a folder of the repository
LARGEST_CARD = 4 * 2**20  # bytes


def check_name(name: str) -> None:
    """Raise `ModelNameError` if a model can't have this name, and propose one that it can."""
    if name in RESERVED:
        raise ModelNameError(
            f"{name!r} can't name a model, since /v2/models/{name} is another address; give one "
            f"by --name, such as --name {proposed_name(name)}"
        )
    if NAME.fullmatch(name) and len(name) <= MAX_NAME:
        return
    shown = repr(name if len(name) <= MAX_NAME else f"{name[:_SHOWN]}…")
    near = proposed_name(name)
    say = f", such as --name {near[: _SHOWN if len(name) > MAX_NAME else None]}" if near else ""
    raise ModelNameError(
        f"{shown} can't name a model: a name has small letters (a to z), digits, '.', '_' and '-', "
        f"begins with a letter or digit, and is {MAX_NAME} characters long at most; give one by "
        f"--name{say}"
    )


def proposed_name(text: str) -> str:
    """Derive a model's name from a text, without accents; empty where nothing is left."""
    plain = unicodedata.normalize("NFKD", text.casefold()).encode("ascii", "ignore").decode()
    found = re.sub(r"[^a-z0-9._-]+", "-", plain).strip("-._")[:MAX_NAME]
    return f"{found}-model" if found in RESERVED else found


@dataclass(frozen=True)
class Contents:
    """What a repository folder holds: its form, and the names of its models, sorted."""

    repository: Path
    form: Form
    names: tuple[str, ...]
    _numbers: tuple[int, ...] = ()

    def versions(self, name: str) -> list[int]:
        """Return the published versions of a model, in ascending order; none of an unknown one."""
        if name not in self.names:
            return []
        if self.form is Form.NESTED:
            return versions(self.repository / name)
        return list(self._numbers)

    def place(self, name: str, number: int) -> Place:
        return Place(self.repository, name, number, self.form)


def contents(repository: Path) -> Contents:
    """Look what a repository folder holds; one that is missing is a nested one without models.

    Raises `CheckpointError` if it has two forms, if it has too many entries, or if its form takes
    the model's name from a card, and no card can be read.
    """
    folders = _folders(repository, NAME)
    numbers = sorted(int(each) for each in folders if _is_version(repository, each))
    if os.path.lexists(repository / CARD):
        _check_one_form(repository, folders, (), f"{CARD}, and is one version then")
        name, number = _claim(repository)
        return Contents(repository, Form.VERSION, (name,), (number,))
    if numbers:
        _check_one_form(
            repository,
            folders,
            numbers,
            f"{numbers[0]}/{CARD}, and holds the versions of one model then",
        )
        found = sorted(int(each) for each in folders if NUMBER.fullmatch(each))
        return Contents(repository, Form.MODEL, (_shared_name(repository, numbers),), tuple(found))
    return Contents(repository, Form.NESTED, tuple(sorted(folders)))


def names(repository: Path) -> list[str]:
    """Return the names of the models in a repository, sorted; raises as `contents` does."""
    return list(contents(repository).names)


def versions(model: Path) -> list[int]:
    """Return the published versions in a model's folder, in ascending order, without drafts."""
    return sorted(map(int, _folders(model, NUMBER)))


def _is_version(repository: Path, name: str) -> bool:
    """Return whether a folder of the repository is itself a version, with a number for a name."""
    return bool(NUMBER.fullmatch(name)) and os.path.lexists(repository / name / CARD)


def _check_one_form(
    repository: Path, folders: Sequence[str], numbers: Sequence[int], form: str
) -> None:
    """Raise `CheckpointError` if the repository mixes layouts.

    `folders` are the names of all its folders. Versions may lie only in those called by `numbers`;
    any other version, such as `xo/1/`, raises. `form` describes the repository in the message.
    """
    for name in sorted(folders):
        if _is_version(repository, name):
            if int(name) in numbers:
                continue
            other = f"{name}/{CARD}"
        elif found := next(_nested(repository / name), None):
            other = f"{name}/{found}/{CARD}"
        else:
            continue
        raise CheckpointError(
            f"{repository} holds {form}, but it holds {other} too; a repository has "
            f"{', '.join(each.value for each in Form)}, and not two of them: move one elsewhere"
        )


def _nested(model: Path) -> Iterator[int]:
    """Return the numbers of the versions in a model's folder that have a card."""
    return (number for number in versions(model) if os.path.lexists(model / str(number) / CARD))


def _shared_name(repository: Path, numbers: Sequence[int]) -> str:
    """Return the name of the model whose versions, with these `numbers`, lie in the folder itself.

    It is the name in the card of the lowest version, or of the next one if that card can't be read.
    A version that is added later, with the card of another model, does not change the name.
    """
    problem: CheckpointError | None = None
    for number in numbers:
        try:
            return _claim(repository, str(number))[0]
        except CheckpointError as error:
            problem = problem or error
    assert problem is not None  # noqa: S101 (there is a number)
    raise problem


def is_name(value: object) -> TypeGuard[str]:
    """Return whether a value of a card can be the name of a model."""
    return isinstance(value, str) and len(value) <= MAX_NAME and bool(NAME.fullmatch(value))


def is_number(value: object) -> TypeGuard[int]:
    """Return whether a value of a card can be the number of a version."""
    return type(value) is int and 0 < value < 10**18


def _claim(repository: Path, *parts: str) -> tuple[str, int]:
    """Read name and version in a card, whatever else is in it; raise `CheckpointError`."""
    path = repository.joinpath(*parts, CARD)
    try:
        with files.open_beneath(repository, *parts, CARD) as file:
            content = file.read(LARGEST_CARD + 1)
    except OSError as error:
        raise CheckpointError(f"{path} can't be read: {error.strerror}") from error
    except files.UnsafeFileError as error:
        raise CheckpointError(f"{path}: {error}") from error
    if len(content) > LARGEST_CARD:
        raise CheckpointError(f"{path} is larger than {LARGEST_CARD:,} bytes")
    try:
        card = json.loads(content)
    except (RecursionError, ValueError) as error:  # not UTF-8, not JSON
        raise CheckpointError(f"{path} is not JSON ({error}): copy the version again") from error
    name, version = (card.get("name"), card.get("version")) if isinstance(card, dict) else (0, 0)
    if not is_name(name):
        raise CheckpointError(
            f"{path} names no model, which must be told by it, since the folder {repository} has "
            f"{CARD} or 1/{CARD} without a model's folder; copy a version that Fanlight published"
        )
    if not is_number(version):
        raise CheckpointError(f"{path} has no version, which must be a number from 1")
    return name, version


def _folders(folder: Path, pattern: re.Pattern[str]) -> list[str]:
    """Return the names of the subfolders that match; raise `CheckpointError` for too many entries.

    Whether an entry is a folder is taken from the listing where it says so: a further call to the
    file system could hang.
    """
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        found = list(islice(entries, MAX_ENTRIES + 1))
    if len(found) > MAX_ENTRIES:
        raise CheckpointError(
            f"{folder} has more than {MAX_ENTRIES:,} entries; move those away that are not to be "
            "served"
        )
    return [each.name for each in found if pattern.fullmatch(each.name) and each.is_dir()]


def find(repository: Path, name: str, version: int | None = None) -> Place:
    """Return the place of a model's version, by default the highest; raise `CheckpointError` if
    there is none."""
    if not repository.is_dir():
        raise CheckpointError(
            f"there is no folder {repository}, in which {name!r} is looked for; publish a model "
            "into it, or name another repository"
        )
    inside = contents(repository)
    if name not in inside.names:
        known = ", ".join(inside.names) or "none"
        raise CheckpointError(
            f"no model {name!r} in the repository {repository}; "
            f"{proposal(name, inside.names)}there are: {known}"
        )
    there = inside.versions(name)
    if not there or version not in (None, *there):
        known = ", ".join(map(str, there)) or "none"
        raise CheckpointError(
            f"no version {'at all' if version is None else version} of {name!r}; there are: {known}"
        )
    return inside.place(name, version or there[-1])
