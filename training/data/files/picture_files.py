"""The files and folders of a data set: which are looked at, and which files are pictures."""

import stat
from collections.abc import Iterator
from pathlib import Path

from models.images.formats import FORMATS, sniff

_OF_SYSTEMS = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "__pycache__"}
_HEAD = 64  # bytes that tell a format
SUFFIXES = frozenset(ending for format in FORMATS for ending in format.extensions)
"""Endings of names that pictures have, in small letters with their dot."""


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, sorted, but for those that are hidden or of a system."""
    return sorted(f for f in folder.iterdir() if f.is_dir() and not is_hidden(f.name))


def walk(place: Path, seen: set[Path], but: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Yield every file in a folder and in the folders in it, links followed; or this file.

    A folder that is in `seen` is not entered again, so that links in a circle come to an end.
    Neither are those in `but`. A folder that can't be read is yielded itself.
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
    """The reason why a file is no picture, in words for people; None if it is a picture.

    The ending of the name decides, or else the first bytes.
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
