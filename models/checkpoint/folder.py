"""Names of models, numbers of versions, and the folders that are named so."""

import os
import re
import unicodedata
from itertools import islice
from pathlib import Path

from models.checkpoint.errors import CheckpointError, ModelNameError

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


def versions(model: Path) -> list[int]:
    """Return the published versions in a model's folder, in ascending order, without drafts."""
    return sorted(map(int, subfolders(model, _NUMBER)))


def subfolders(folder: Path, pattern: re.Pattern[str]) -> list[str]:
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
