"""A repository folder: the models and versions in it, by their names.

<repository>/<model>/<version>/
"""

import os
import re
import unicodedata
from itertools import islice
from pathlib import Path

from models.checkpoint.errors import CheckpointError, ModelNameError
from models.registry import proposal

NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
MAX_NAME = 128  # characters
RESERVED = ("stats",)  # /v2/models/stats tells of all models
_SHOWN = 40  # characters of a name that is too long
MAX_ENTRIES = 100_000  # files and folders in a folder of the repository
_NUMBER = re.compile("[1-9][0-9]{0,17}")


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


def names(repository: Path) -> list[str]:
    """Return the names of the models in a repository, sorted."""
    return sorted(_folders(repository, NAME))


def versions(model: Path) -> list[int]:
    """Return the published versions in a model's folder, in ascending order, without drafts."""
    return sorted(map(int, _folders(model, _NUMBER)))


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


def find(repository: Path, name: str, version: int | None = None) -> Path:
    """Return the folder of a model's version, by default the highest; raise `CheckpointError` if
    there is none."""
    if not repository.is_dir():
        raise CheckpointError(
            f"there is no folder {repository}, in which {name!r} is looked for; publish a model "
            "into it, or name another repository"
        )
    if name not in names(repository):
        known = ", ".join(names(repository)) or "none"
        raise CheckpointError(
            f"no model {name!r} in the repository {repository}; "
            f"{proposal(name, names(repository))}there are: {known}"
        )
    there = versions(repository / name)
    if not there or version not in (None, *there):
        known = ", ".join(map(str, there)) or "none"
        raise CheckpointError(
            f"no version {'at all' if version is None else version} of {name!r}; there are: {known}"
        )
    return repository / name / str(version or there[-1])
