"""What the user names as SOURCE → the source that it is."""

import os
from pathlib import Path
from typing import Any

from fanlight.scoring.sources import archive, listing, places, tables
from fanlight.scoring.sources.listing import Listing
from fanlight.scoring.sources.source import Source
from models.errors import FanlightError, OptionError, next_step
from models.files import EMPTY_PATH
from models.images.formats import sniff
from training.data.files import picture_files, shards, sources

_GLOB = ("*", "?", "[")
_TABLES = (".csv", ".tsv")
_HEAD = 64  # bytes that tell what a file is
TAKEN = (
    "a folder, a glob, a zip, a CSV or Parquet, or an image; on this machine, or as a URL such as "
    "s3://bucket/folder"
)


class SourceError(FanlightError):
    """A source can't be read, or holds no images."""


def opened(text: str, column: str | None = None) -> Source:
    """Open the source of that name; `column` is that of the images in a table.

    Raises `OptionError` if there is nothing of that name or kind, `SourceError` and
    `DamagedFileError` if it can't be read or has no images, and `InstallationError` if a package is
    missing.
    """
    if not text.strip():
        raise OptionError(f"SOURCE: {EMPTY_PATH}")
    location = places.place(text)
    try:
        found = _elsewhere(text, column) if places.is_url(location) else _here(text, column)
    except OSError as error:
        advice = next_step(error)
        reason = error.strerror or str(error)
        raise SourceError(
            f"{error.filename or text}: {reason}" + (f"; {advice}" if advice else "")
        ) from error
    if column is not None and found.kind not in ("CSV", "Parquet", "Parquet of paths"):
        raise OptionError(f"--column is for a CSV or Parquet, and {text} is a {found.kind}")
    if not len(found):
        left_out = f": {found.left_out}" if found.left_out else ""
        raise SourceError(f"{text} has no images{left_out}; there must be one at least")
    return found


def _here(text: str, column: str | None) -> Source:
    path = Path(places.path_of(text) or text)
    if not os.path.lexists(path) and any(mark in text for mark in _GLOB):
        return _of_glob(text, listing.matching(str(path)), column)
    if path.is_dir():
        found = listing.in_folder(str(path))
        if not found.files:
            _propose_tables(text, [each.name for each in path.iterdir()])
        return found
    if not path.exists():
        meant = sources.similar(path)
        raise OptionError(f"there is no {text!r}; {meant}give {TAKEN}")
    if not path.is_file():
        raise OptionError(f"{text!r} is a pipe or a device; give {TAKEN}")
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return _of_file(str(path), head, column)


def _of_file(text: str, head: bytes, column: str | None) -> Source:
    """Open one file by its beginning, or else by its name."""
    location = places.place(text)
    name = places.without_query(text).lower()
    if head.startswith(b"PAR1") or name.endswith(shards.PARQUET):
        return tables.of_parquet(text, [location], column)
    if sniff(head) is not None or name.endswith(tuple(picture_files.SUFFIXES)):
        return listing.of_files("image", [text])
    if head.startswith(b"PK") or name.endswith(".zip"):
        return archive.opened(location)
    if name.endswith(_TABLES):
        return tables.of_csv(text, location, column)
    if name.endswith((".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z", ".rar")):
        raise OptionError(f"{text!r} is an archive of another kind than zip: unpack it first")
    raise OptionError(f"{text!r} is a file of an unknown kind; give {TAKEN}")


def _of_glob(text: str, paths: list[str], column: str | None) -> Source:
    if not paths:
        raise OptionError(
            f"nothing matches {text!r}; a '**' stands for any folders, and a pattern is quoted for "
            "the shell"
        )
    if all(path.lower().endswith(shards.PARQUET) for path in paths):
        return tables.of_parquet(text, [places.place(path) for path in paths], column)
    return listing.of_files("glob", paths)


def _elsewhere(url: str, column: str | None) -> Source:
    files, path = places.file_system(url)
    try:
        if any(mark in places.without_query(path) for mark in _GLOB) and not files.exists(path):
            return _of_remote_glob(url, files, path, column)
        info = files.info(path)
        if info["type"] == "directory":
            found = listing.in_remote_folder(url, files, path.rstrip("/"))
            if not found.files:
                _propose_tables(url, [Path(each).name for each in files.ls(path, detail=False)])
            return found
        with files.open(path, "rb") as file:
            head = file.read(_HEAD)
    except FanlightError:
        raise
    except Exception as error:  # each kind of storage has exceptions of its own
        if places.is_absent(error):
            raise OptionError(f"there is no {url!r}; give {TAKEN}") from error
        raise SourceError(
            f"{url} can't be listed: {places.reason(error)}; check its address, the credentials "
            "and the network"
        ) from error
    source = _of_file(url, head, column)
    if source.kind == "image":
        return Listing("image", [listing.remote(url, files, path, info)])
    return source


def _of_remote_glob(url: str, files: Any, path: str, column: str | None) -> Source:
    found = files.glob(path, detail=True)
    inside = {each: info for each, info in sorted(found.items()) if info["type"] != "directory"}
    urls = [listing.remote(url, files, each, info).location for each, info in inside.items()]
    if urls and not all(each.lower().endswith(shards.PARQUET) for each in urls):
        images = [listing.remote(url, files, each, info) for each, info in inside.items()]
        return Listing("glob", images)
    return _of_glob(url, urls, column)


def _propose_tables(text: str, inside: list[str]) -> None:
    """Raise `SourceError` if a folder without images has tables or archives in it."""
    for endings, kind in ((shards.PARQUET, "Parquet"), (_TABLES, "CSV"), ((".zip",), "zip")):
        if there := sorted(name for name in inside if name.lower().endswith(endings)):
            one = there[0] if len(there) == 1 or kind != "Parquet" else f"*{Path(there[0]).suffix}"
            raise SourceError(
                f"{text} has no images, but files of the kind {kind}: give "
                f"'{text.rstrip('/')}/{one}'"
            )
