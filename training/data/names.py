"""Names of files, which others have chosen, as they are shown to people."""

import unicodedata
from pathlib import PurePath

_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, formats, half characters, separators of lines
_JOINERS = "\u200c\u200d"  # which some scripts and emoji need


def shown(name: str) -> str:
    """The name with � for what controls a terminal, a line or the direction of text.

    � stands for bytes that are no UTF-8, too.
    """
    if name.isascii() and name.isprintable():
        return name
    return "".join(
        "�" if unicodedata.category(c) in _HIDDEN and c not in _JOINERS else c for c in name
    )


def last(name: str) -> str:
    """The name without the folders that it is in."""
    return shown(PurePath(name).name)
