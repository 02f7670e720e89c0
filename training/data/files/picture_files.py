"""The files and folders of a data set: which are looked at, and which files are pictures."""

import stat
from collections.abc import Iterator
from pathlib import Path

from models.images.formats import FORMATS, sniff

_OF_SYSTEMS = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "__pycache__"}
_HEAD = 64  # bytes that tell a format
SUFFIXES = frozenset(ending for format in FORMATS for ending in format.extensions)
"""File extensions of pictures, in lower case with the dot."""


def folders_in(folder: Path) -> list[Path]:
    """List the subfolders of a folder, sorted, without hidden ones and those of a system."""
    return sorted(f for f in folder.iterdir() if f.is_dir() and not is_hidden(f.name))


def walk(place: Path, seen: set[Path], but: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Yield every file in a folder and its subfolders, following links; a file yields itself.

    A folder that is in `seen` is not entered again, so that circular links end; entered folders are
    added to it. Paths in `but` are skipped. A folder that can't be read is yielded itself.
    """
    if not place.is_dir():
        yield place
        return
    resolved = place.resolve()
    if place in but or resolved in seen:
        return
    seen.add(resolved)
    try:
        inside = sorted(place.iterdir())
    except OSError:
        yield place
        return
    for each in inside:
        if each not in but:
            yield from walk(each, seen, but)


def is_hidden(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _OF_SYSTEMS


def unread(path: Path) -> str | None:
    """Return why a file is not a picture, in words for people; None if it is a picture.

    A known file extension decides; otherwise the first bytes do.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return "a link to nothing"
    if stat.S_ISDIR(mode):
        return "a folder that can't be read"
    if not stat.S_ISREG(mode):
        return "no file, but a pipe or a device"
    if path.suffix.lower() in SUFFIXES:
        return None
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        return f"it can't be read: {error.strerror}"
    if sniff(head) is not None:
        return None
    kind = path.suffix.lower() or "a file without an ending"
    return f"{kind} is no image format that is read; convert pictures to PNG or JPEG"


def has_pictures(folder: Path) -> bool:
    """Whether a picture lies in the folder itself."""
    return any(
        unread(each) is None
        for each in folder.iterdir()
        if not each.is_dir() and not is_hidden(each.name)
    )


def holds_pictures(folder: Path) -> bool:
    """Whether a picture lies in the folder, or in a folder in it."""
    return any(
        unread(path) is None
        for path in walk(folder, set())
        if not any(map(is_hidden, path.relative_to(folder).parts))
    )
