"""Registries of named entries: modules register entries → names, descriptions, errors, tables.

Each kind (architecture, image format, runtime, data set, …) has one `Registry`. An entry is
registered where it is defined. Settings, `--help`, the OpenAPI document and the tables of the docs
read the registry, so adding an entry changes no other file.

    RUNTIMES = Registry[RuntimeEntry]("runtime", package="service.inference.runtimes")
    RUNTIMES.register(RuntimeEntry("torch", …))
    RUNTIMES.get("torch"), RUNTIMES.names(), list(RUNTIMES)
"""

import difflib
import importlib
import pkgutil
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from models.errors import OptionError

Parameters = Mapping[str, Mapping[str, Any]]
"""Name of a parameter → its JSON Schema: type, default, limits, description."""


class Entry(Protocol):
    """The attributes that an entry of any kind has. `description` is one sentence."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def parameters(self) -> Parameters: ...


T = TypeVar("T", bound=Entry)


@dataclass(frozen=True)
class Completion:
    """A mark on a field: a shell completes `words`, and folders; other values are allowed."""

    words: Callable[[], Iterable[str]]
    or_folder: bool = False


class UnknownNameError(OptionError):
    """No entry has that name."""


class Registry(Generic[T]):
    """The entries of one kind, sorted by name.

    `kind` is the word for the kind in errors. Before the first lookup, the modules of `package` are
    imported, so that they register their entries. Then `plugins` imports the installed plug-ins,
    and returns the name and reason of each that failed. `get` raises `error`; its message ends with
    `hint` and those failures.
    """

    def __init__(
        self,
        kind: str,
        *,
        package: str | None = None,
        error: type[Exception] = UnknownNameError,
        hint: str = "",
        plugins: Callable[[], Mapping[str, str]] | None = None,
    ) -> None:
        self._kind, self._package, self._error, self._hint = kind, package, error, hint
        self._plugins, self._failed = plugins, dict[str, str]()
        self._entries: dict[str, T] = {}
        self._places: dict[str, str] = {}
        self._sorted: tuple[T, ...] | None = None
        self._is_complete = package is None and plugins is None
        self._discovering, self._is_importing = threading.RLock(), False

    def register(self, entry: T, *, stacklevel: int = 1) -> T:
        """Add an entry, and return it.

        `stacklevel` counts the calls between here and the place that errors name, as in
        `warnings.warn`. Raises `ValueError`, which names both places, if the name is taken.
        """
        place = _place(stacklevel + 1)
        if entry.name in self._entries:
            raise ValueError(
                f"{self._kind} {entry.name!r} is registered twice: at "
                f"{self._places[entry.name]} and at {place}; rename one of them"
            )
        self._entries[entry.name] = entry
        self._places[entry.name] = place
        self._sorted = None
        return entry

    def get(self, name: str) -> T:
        """Return the entry of that name; else raise an error with the names and the nearest."""
        self._discover()
        if name in self._entries:
            return self._entries[name]
        failed = "".join(f"; the plug-in {one} failed: {why}" for one, why in self._failed.items())
        raise self._error(unknown(self._kind, name, self.names()) + self._hint + failed)

    def names(self) -> list[str]:
        return [entry.name for entry in self]

    def __iter__(self) -> Iterator[T]:
        self._discover()
        if self._sorted is None:
            self._sorted = tuple(self._entries[name] for name in sorted(self._entries))
        return iter(self._sorted)

    def __len__(self) -> int:
        return len(self.names())

    def __contains__(self, name: object) -> bool:
        self._discover()
        return name in self._entries

    def table(self, columns: Mapping[str, Callable[[T], str]]) -> str:
        """A Markdown table with one row an entry; `columns` maps heads to the text of a cell."""
        rows = [[cell(entry) for cell in columns.values()] for entry in self]
        return markdown_table(list(columns), rows)

    def discard(self, name: str) -> None:
        """Remove the entry of that name, if there is one."""
        self._discover()
        self._entries.pop(name, None)
        self._sorted = None

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Undo, at the end of the `with` block, what was added or removed in it: for tests."""
        self._discover()
        entries, places = dict(self._entries), dict(self._places)
        try:
            yield
        finally:
            self._entries, self._places, self._sorted = entries, places, None

    def _discover(self) -> None:
        """Import every module of the package, and the plug-ins, once.

        Other threads wait until that is done. A module that is being imported may itself look up
        the entries registered so far.
        """
        if self._is_complete:
            return
        with self._discovering:
            self._import_all()

    def _import_all(self) -> None:
        if self._is_complete or self._is_importing:
            return
        self._is_importing = True
        try:
            if self._package is not None:
                package = importlib.import_module(self._package)
                for module in pkgutil.iter_modules(package.__path__):
                    importlib.import_module(f"{self._package}.{module.name}")
            if self._plugins is not None:
                self._failed.update(self._plugins())
        finally:
            self._is_importing = False
        self._is_complete = True


def unknown(kind: str, name: str, names: Iterable[str]) -> str:
    """Return the message about a name that does not exist, with the nearest name and all names."""
    known = list(names)
    return f"no {kind} {name!r}; {proposal(name, known)}there are {', '.join(known) or 'none'}"


def listed(names: Sequence[str], most: int = 40) -> str:
    """Format `conv, relu, fc and 97 more`: the first `most` by name, the others as a number."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more


def proposal(name: str, names: Iterable[str]) -> str:
    """Format `did you mean 'mnist'? `, or nothing if no name is like the given one."""
    near = nearest(name, names)
    return f"did you mean {near!r}? " if near else ""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the name that is most like the given one, or None if none is like it."""
    known = {each.lower(): each for each in names}
    found = difflib.get_close_matches(name.lower(), list(known), n=1)
    return known[found[0]] if found else None


def markdown_table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A table in GitHub's Markdown, without a line feed at its end."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |"
        for line in lines
    )


def _place(stacklevel: int) -> str:
    """Return the file and the line of a caller; 1 is the caller of this function."""
    frame = sys._getframe(stacklevel)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
