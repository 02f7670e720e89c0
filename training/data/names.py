"""Names of files, which others have chosen, as they are shown to people."""

from collections.abc import Iterable
from pathlib import PurePath

from models.checkpoint.labels import is_unseen


def shown(name: str) -> str:
    """The name with � for what controls a terminal, a line or the direction of text.

    � stands for bytes that are no UTF-8, too.
    """
    if name.isascii() and name.isprintable():
        return name
    return "".join("�" if is_unseen(character) else character for character in name)


def last(name: str) -> str:
    """The name without the folders that it is in."""
    return shown(PurePath(name).name)


def some(names: Iterable[str], most: int = 8) -> str:
    """The first names in a list for people, and how many more there are; empty for none."""
    every = [shown(name) for name in names]
    if len(every) > most:
        return f"{', '.join(every[:most])} and {len(every) - most:,} more"
    return ", ".join(every)
