"""Safe display of names of files and classes, which can hold any characters."""

from collections.abc import Iterable
from pathlib import PurePath

from models.checkpoint.labels import is_unseen


def shown(name: str) -> str:
    """Replace characters that control a terminal, a line or the direction of text by �.

    Bytes that are not UTF-8 are replaced, too.
    """
    if name.isascii() and name.isprintable():
        return name
    return "".join("�" if is_unseen(character) else character for character in name)


def last(name: str) -> str:
    """Return the file name of a path, without its folders, safe to display."""
    return shown(PurePath(name).name)


def some(names: Iterable[str], most: int = 8) -> str:
    """List the first `most` names, and say how many more there are; empty for no names."""
    every = [shown(name) for name in names]
    if len(every) > most:
        return f"{', '.join(every[:most])} and {len(every) - most:,} more"
    return ", ".join(every)
