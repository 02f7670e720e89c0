"""Files one by one: a folder with all below it, a glob, rows of a table → paths and locations."""

import glob
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from fanlight.scoring.sources import places
from fanlight.scoring.sources.source import Item
from service.errors import InvalidInputError
from training.data import names
from training.data.files import picture_files

_ANY = "**"
NO_PATH = "the row has no path; write that of an image, or take the row out"


class Listed(NamedTuple):
    """A file: its name for people, its absolute path or URL, and the state of its content.

    An empty `location` is a row of a table without a path.
    """

    path: str
    location: str
    state: str


@dataclass(frozen=True)
class Files:
    """Some files that follow each other in a list."""

    files: tuple[tuple[str, str], ...]

    @property
    def locations(self) -> Iterable[str]:
        return (location for _, location in self.files)

    def items(self) -> Iterator[Item]:
        for path, location in self.files:
            yield Item(path or None, partial(_read, location))


def _read(location: str, most: int) -> bytes:
    if not location:
        raise InvalidInputError(NO_PATH)
    return places.read(location, most)


@dataclass(frozen=True)
class Listing:
    """A source of files, in this order."""

    kind: str
    files: Sequence[Listed]
    left_out: str | None = None

    def __len__(self) -> int:
        return len(self.files)

    @cached_property
    def digest(self) -> str:
        return digest("\0".join(each) for each in self.files)

    def piece(self, start: int, stop: int) -> Files:
        return Files(tuple((each.path, each.location) for each in self.files[start:stop]))


def digest(lines: Iterable[str]) -> str:
    """Return the SHA-256 of lines, as hexadecimal digits."""
    found = hashlib.sha256()
    for line in lines:
        found.update(line.encode(errors="surrogateescape"))
        found.update(b"\n")
    return found.hexdigest()


def in_folder(text: str) -> Listing:
    """List the images in a folder of this machine and all below it, sorted by path.

    Links are followed, and circles end. Hidden files and those of systems are skipped silently;
    files that are no images, by their name or else their first bytes, are counted in `left_out`.
    """
    root = Path(text)
    found: list[Listed] = []
    others: list[str] = []
    for path in picture_files.walk(root, set()):
        inside = path.relative_to(root)
        if any(map(picture_files.is_hidden, inside.parts)):
            continue
        if picture_files.unread(path) is None:
            found.append(_local(str(path)))
        else:
            others.append(str(inside))
    found.sort(key=lambda each: Path(each.path).parts)
    return Listing("folder", found, left_out(others))


def of_files(kind: str, paths: Iterable[str]) -> Listing:
    """List files of this machine, whatever they are, in this order."""
    return Listing(kind, [_local(path) for path in paths])


def matching(pattern: str) -> list[str]:
    """Return the files of this machine that match a pattern, sorted; `**` is any folders.

    Below a `**`, links to folders are followed, and circles end.
    """
    parts = Path(pattern).parts
    first = parts.index(_ANY) if _ANY in parts else len(parts)
    start = str(Path(*parts[:first]))
    places = glob.iglob(start)  # noqa: PTH207 (Path knows no absolute ones)
    if first == len(parts):
        return sorted(place for place in places if not Path(place).is_dir())
    found = (
        path
        for place in map(Path, places)
        if place.is_dir()
        for path in picture_files.walk(place, set())
        if _fits(path.relative_to(place).parts, parts[first:])
    )
    return sorted(str(path) for path in found if not path.is_dir())


def _fits(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the names in a path fit the parts of a glob; a `*` matches no dot at the start."""
    if not pattern:
        return not names
    if pattern[0] == _ANY:
        rest = pattern[1:] or ("*",)
        hidden = (n for n, name in enumerate(names) if name.startswith("."))
        return any(_fits(names[n:], rest) for n in range(next(hidden, len(names)) + 1))
    return (
        bool(names)
        and names[0].startswith(".") <= pattern[0].startswith(".")
        and fnmatchcase(names[0], pattern[0])
        and _fits(names[1:], pattern[1:])
    )


def in_remote_folder(url: str, files: Any, path: str) -> Listing:
    """List the images below a URL, sorted by path; their names decide, as reading would cost."""
    found: list[Listed] = []
    others: list[str] = []
    for each, info in sorted(files.find(path, detail=True).items()):
        inside = PurePosixPath(each).relative_to(path) if each.startswith(path) else each
        parts = PurePosixPath(inside).parts
        if any(map(picture_files.is_hidden, parts)):
            continue
        if PurePosixPath(each).suffix.lower() in picture_files.SUFFIXES:
            found.append(remote(url, files, each, info))
        else:
            others.append(str(inside))
    return Listing("folder", found, left_out(others))


def remote(source: str, files: Any, path: str, info: dict[str, Any]) -> Listed:
    """Describe a file elsewhere by what its file system tells of it.

    `source` is the URL that the user gave. If it is a chain, as in `zip://*.png::s3://bucket/a.zip`,
    the file's URL ends alike.
    """
    _, chain, behind = source.partition("::")
    url = files.unstrip_protocol(path) + chain + behind
    return Listed(url, url, places.state(info))


def _local(path: str) -> Listed:
    state = ""
    try:
        status = Path(path).stat()
        state = f"{status.st_size} {status.st_mtime_ns}"
    except (OSError, ValueError):  # it has a row that says so
        pass
    return Listed(path, places.place(path), state)


def left_out(others: Sequence[str]) -> str | None:
    """Return the sentence that names files which are not taken; None if there are none."""
    if not others:
        return None
    count = f"{len(others):,} file{'s' * (len(others) > 1)}"
    return f"left out: {count} of another kind than images: {names.some(others, 4)}"
