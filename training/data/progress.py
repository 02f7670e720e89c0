"""The progress bar of what goes through many files, on terminals only."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich import get_console
from rich.markup import escape
from rich.progress import track

_Item = TypeVar("_Item")


def tracked(items: Sequence[_Item], description: str, least: int = 0) -> Iterable[_Item]:
    """Yield the items behind a bar, which is shown for `least` items or more and vanishes."""
    console = get_console()
    is_shown = console.is_terminal and len(items) >= least
    text = escape(description)
    return track(items, text, console=console, transient=True, disable=not is_shown)
