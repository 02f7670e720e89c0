"""Tables: a CSV of paths, or Parquet of paths or of the images themselves.

    CSV      → rows → paths, relative to the table → `Listing`
    Parquet  → a column of text → the same; a column of bytes → `ParquetImages`

A Parquet column of Hugging Face, with `bytes` and `path` in it, is one of bytes.
"""

import csv
import io
import posixpath
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fanlight.scoring.sources import places
from fanlight.scoring.sources.listing import Listed, Listing, digest
from fanlight.scoring.sources.source import Item
from models.errors import DamagedFileError, OptionError
from models.registry import listed
from training.data import names
from training.data.files import parquet, picture_files, tables

MAX_BYTES = 1 << 30  # of a CSV
_PATH = (*tables.PATH, "url", "uri", "imageurl", "imageuri", "location", "key")


def of_csv(text: str, location: str, column: str | None) -> Listing:
    """List the images that a CSV names; raise `OptionError` for a table without such a column."""
    content = tables.decoded(places.whole(location, MAX_BYTES), text)
    if not content.strip():
        raise OptionError(f"{text} has no rows; it needs a column path, with a path or URL a row")
    first = content.partition("\n")[0].strip("\r")
    separator = max(",;\t|", key=first.count)
    try:
        rows = list(csv.reader(io.StringIO(content, newline=""), delimiter=separator))
    except csv.Error as error:
        raise DamagedFileError(f"{text} can't be read as a CSV: {error}; save it anew") from error
    head = [cell.strip() for cell in rows[0]]
    if column is None and any(map(_is_image, head)):
        raise OptionError(
            f"{text}: its first row, {head[0]!r}, looks like an image, and not like names of "
            "columns: write a first row with the name of each column, such as path"
        )
    at = head.index(_chosen(text, head, column, _PATH))
    cells = [row[at].strip() if at < len(row) else "" for row in rows[1:] if any(row)]
    return _paths("CSV", cells, [location])


def _paths(kind: str, cells: Sequence[str], tables_at: Sequence[str]) -> Listing:
    """List files by the cells of a table, relative to the table's folder.

    A protocol that nothing reads costs the row of its image. Raises `InstallationError` if a
    package is missing.
    """
    beside = tables_at[0]
    checked: set[str] = set()
    found = []
    for cell in cells:
        location = _location(cell, beside)
        if places.is_url(location):
            protocols = "::".join(part.partition(":")[0] for part in location.split("::"))
            if protocols not in checked:
                with suppress(OptionError):
                    places.check_protocol(location)
                checked.add(protocols)
        found.append(Listed(cell, location, ""))  # a look at each would take hours
    return Listing(kind, found)


def _is_image(cell: str) -> bool:
    return "://" in cell or Path(cell).suffix.lower() in picture_files.SUFFIXES


def _location(cell: str, table: str) -> str:
    if not cell:
        return ""
    if places.is_url(cell):
        return places.place(cell)
    if places.is_url(table):
        return posixpath.join(posixpath.dirname(table), cell)
    return places.place(str(Path(table).parent / cell))


def _chosen(text: str, there: Sequence[str], column: str | None, usual: Sequence[str]) -> str:
    """Choose a column by the option, or else by the usual names, or the only one that there is."""
    if column is not None:
        if column not in there:
            raise OptionError(f"{text} has no column {column!r}; there are {listed(there)}")
        return column
    if (found := parquet.usual(there, usual)) is not None:
        return found
    if len(there) == 1:
        return there[0]
    if not there:
        raise OptionError(f"{text} has no column of text or bytes, as images or their paths are")
    shown = ", ".join(map(repr, there[:8]))
    raise OptionError(
        f"{text} has the columns {shown}: say with --column which one has the images, or call it "
        "path"
    )


@dataclass(frozen=True)
class ParquetRows:
    """Some rows of Parquet files whose images are a column of bytes."""

    parts: tuple[tuple[str, str, int, int], ...]
    """Location and state of each file, with the first row and the one behind the last."""
    images: str
    paths: str | None

    @property
    def locations(self) -> Iterable[str]:
        return (location for location, *_ in self.parts)

    def items(self) -> Iterator[Item]:
        for location, state, start, stop in self.parts:
            columns = [self.images] if self.paths is None else [self.images, self.paths]
            for batch in _kept_open(location, state, tuple(columns)).rows(start, stop):
                yield from _items(batch, self.images, self.paths)


class _Cursor:
    """An open Parquet file that is read forwards.

    A group of rows can be decoded only from its start. Where pieces follow each other, each row is
    decoded once, and not again for each piece.
    """

    def __init__(self, file: pq.ParquetFile, columns: Sequence[str]) -> None:
        self._file, self._columns = file, list(columns)
        groups = (file.metadata.row_group(each) for each in range(file.metadata.num_row_groups))
        self._starts = [0, *accumulate(group.num_rows for group in groups)]
        self._ahead: Iterator[pa.RecordBatch] = iter(())
        self._rest: pa.RecordBatch | None = None  # rows that were decoded, and not asked for yet
        self._next = 0  # the row that comes next

    def rows(self, start: int, stop: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows from `start` up to but not including `stop`, a few at a time."""
        if start < self._next or self._group(start) > self._group(self._next) or not self._next:
            self._begin(self._group(start))
        while self._next < stop:
            batch = self._rest or next(self._ahead, None)
            if batch is None:
                raise DamagedFileError("a Parquet file has fewer rows than it had: score it anew")
            first = max(0, min(start - self._next, len(batch)))
            last = min(stop - self._next, len(batch))
            self._rest = batch.slice(last) if last < len(batch) else None
            self._next += last
            if first < last:
                yield batch.slice(first, last - first)

    def _group(self, row: int) -> int:
        return bisect_right(self._starts, row) - 1

    def _begin(self, group: int) -> None:
        groups = list(range(group, self._file.metadata.num_row_groups))
        self._ahead = self._file.iter_batches(parquet.ROWS, groups, self._columns)
        self._rest, self._next = None, self._starts[group]


@lru_cache(maxsize=1)
def _kept_open(location: str, _state: str, columns: tuple[str, ...]) -> _Cursor:
    return _Cursor(_opened(location), columns)


def _items(batch: pa.RecordBatch, images: str, paths: str | None) -> Iterator[Item]:
    named = None if paths is None else batch.column(paths).to_pylist()
    for row, (encoded, own) in enumerate(parquet.encoded(batch, images)):
        yield Item(own if named is None else named[row], _reader(encoded))


def _reader(encoded: bytes) -> Any:
    def read(most: int) -> bytes:
        if len(encoded) > most:
            raise places.too_large(most)
        return encoded

    return read


@dataclass(frozen=True)
class ParquetImages:
    """Parquet files with a column of images, as a source."""

    files: Sequence[tuple[str, int, str]]
    """Location, number of rows and state of each file."""
    images: str
    paths: str | None
    kind: str = "Parquet"
    left_out: str | None = None

    def __len__(self) -> int:
        return sum(rows for _, rows, _ in self.files)

    @cached_property
    def digest(self) -> str:
        head = f"{self.images}\0{self.paths}"
        return digest([head, *(f"{each}\0{rows}\0{state}" for each, rows, state in self.files)])

    def piece(self, start: int, stop: int) -> ParquetRows:
        parts, before = [], 0
        for location, rows, state in self.files:
            first, last = max(start - before, 0), min(stop - before, rows)
            if first < last:
                parts.append((location, state, first, last))
            before += rows
        return ParquetRows(tuple(parts), self.images, self.paths)


def of_parquet(text: str, locations: Sequence[str], column: str | None) -> Listing | ParquetImages:
    """Open Parquet files of the same columns as one source.

    Raises `OptionError` if no column has images or paths, and `DamagedFileError`.
    """
    files: list[tuple[str, int, str]] = []
    schema: pa.Schema | None = None
    for location in locations:
        with _opened(location) as file:
            parquet.check_groups(location, file)
            if schema is None:
                schema = file.schema_arrow
            elif not schema.equals(file.schema_arrow):
                raise OptionError(
                    f"{location} has other columns than {locations[0]}: score them one by one"
                )
            files.append((location, file.metadata.num_rows, _state(location)))
    assert schema is not None  # noqa: S101 (there is a file)
    images, texts = parquet.images(schema), parquet.texts(schema)
    if column is not None and column not in (*images, *texts):
        raise OptionError(
            f"{text} has no column {column!r} of bytes or text; of bytes there is "
            f"{listed(images) or 'none'}, of text {listed(texts) or 'none'}"
        )
    if column in images or (column is None and images):
        chosen = _chosen(text, images, column, parquet.IMAGE)
        return ParquetImages(files, chosen, parquet.usual(texts, _PATH))
    chosen = _chosen(text, texts, column, _PATH)
    cells: list[str] = []
    for location, _, _ in files:
        with _opened(location) as file:
            for batch in file.iter_batches(columns=[chosen]):
                cells += [cell or "" for cell in batch.column(0).to_pylist()]
    return _paths("Parquet of paths", cells, locations)


def _opened(location: str) -> pq.ParquetFile:
    """Open a Parquet file; raise `DamagedFileError` if it is none."""
    try:
        if not places.is_url(location):
            return pq.ParquetFile(location, memory_map=False)
        files, path = places.file_system(location)
        return pq.ParquetFile(files.open(path, "rb"))
    except (pa.ArrowException, EOFError, ValueError) as error:
        places.check_ranges(location, error)
        reason = names.shown(" ".join(str(error).split()))[:200]
        raise DamagedFileError(
            f"{location} can't be read as Parquet ({reason}): write or download it again"
        ) from error


def _state(location: str) -> str:
    if places.is_url(location):
        files, path = places.file_system(location)
        return places.state(files.info(path))
    status = Path(location).stat()
    return f"{status.st_size} {status.st_mtime_ns}"
