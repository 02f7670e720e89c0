"""Tables of pictures and their labels: a CSV → the files of each split.

    bytes → `text`, UTF-8 or UTF-16 with a mark → rows of picture, label and split → files

The columns are `path` and `label`, or have another of the usual names; a column `split` is read if
there is one. Paths are relative to the CSV, or to a folder beside it, such as `images`.
"""

import codecs
import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from models.images.formats import FORMATS
from training.data import names as shown
from training.data.files import folders, picture_files
from training.data.files.folders import Files
from training.data.files.layout import DatasetError
from training.data.files.splits import Split, reading

SUFFIXES = (".csv", ".tsv")
PATH = (
    "path",
    "file",
    "filename",
    "filepath",
    "image",
    "imagepath",
    "imageid",
    "img",
    "picture",
    "id",
)
LABEL = ("label", "class", "classname", "target", "category", "species", "breed", "diagnosis")
SPLIT = ("split", "set", "subset", "partition")
_BESIDE = ("", "{stem}", "images", "train", "data", "pictures")  # folders that hold the pictures
_MAX_BYTES = 1 << 30
_ZIP = b"PK\x03\x04"
_MOST_SPLITS = 8  # values of a column that tells the splits
_LOOKED_AT = 5  # rows, to find the folder
_ENDINGS = ("", *(ending for format in FORMATS for ending in format.extensions))


def is_table(path: Path) -> bool:
    """Return whether a path is a file whose name ends in .csv or .tsv."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def has_columns(table: Path) -> bool:
    """Return whether a table can be read, with columns for pictures and for labels."""
    try:
        return bool(_read(table).rows)
    except DatasetError:
        return False


def splits(table: Path) -> Mapping[Split, Path]:
    """Return the splits in the rows of a table; only train if it has no column for them."""
    return dict.fromkeys((row.split for row in _read(table).rows), table)


def files(table: Path, split: Split, seed: int) -> Files:
    """List the pictures of one split, as `folders.files` does; raises `DatasetError`."""
    rows, incomplete, notes = _read(table)
    labels = sorted({row.label for row in rows}, key=_natural)
    own = {row.split for row in rows}
    if split == "validation" and split not in own:
        return Files((), (), tuple(labels), notes=notes)
    wanted = split if split in own else "train"
    place = _place(table, rows)
    found: list[tuple[Path, int]] = []
    left_out = [(place / name if name else table, reason) for name, reason in incomplete]
    seen: dict[str, str] = {}
    for row in rows:
        if seen.setdefault(row.name, row.label) != row.label:
            raise DatasetError(
                f"{table} has two labels for {row.name}, {seen[row.name]} and {row.label}: keep one"
            )
    for name in dict.fromkeys(row.name for row in rows if row.split == wanted):
        path = _file(place, name)
        if path is None:
            left_out.append((place / name, "in the table, and not there"))
        elif (reason := picture_files.unread(path)) is not None:
            left_out.append((path, reason))
        else:
            found.append((path, labels.index(seen[name])))
    paths, targets = (tuple(each) for each in zip(*found, strict=True)) if found else ((), ())
    every = Files(paths, targets, tuple(labels), tuple(left_out), notes)
    is_whole = split in own and (split != "train" or "test" in own)
    return every if is_whole else folders.share(every, split, seed)


class _Row(NamedTuple):
    name: str
    label: str
    split: Split


class _Table(NamedTuple):
    """The rows of a table; `incomplete` are pictures whose row lacks something, each with the
    reason."""

    rows: list[_Row]
    incomplete: list[tuple[str, str]]
    notes: tuple[str, ...]


def text(table: Path) -> str:
    """Read a table as text: UTF-8, or UTF-16 with a byte order mark, as Excel writes both.

    Raises `DatasetError` if it can't be read, or is larger than 1 GiB.
    """
    try:
        if table.stat().st_size > _MAX_BYTES:
            raise DatasetError(f"{table} is larger than {_MAX_BYTES:,} bytes: no table of pictures")
        content = table.read_bytes()
    except OSError as error:
        raise DatasetError(f"{table} can't be read as a table: {error.strerror}") from error
    return decoded(content, str(table))


def decoded(content: bytes, table: str) -> str:
    """Decode the content of a table, which messages call `table`; raise `DatasetError`."""
    if content.startswith(_ZIP):
        raise DatasetError(
            f"{table} is a spreadsheet or a zip, not a CSV: save the table as CSV (UTF-8)"
        )
    is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        decoded = content.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DatasetError(
            f"{table} can't be read as a table: line {line} is not UTF-8; save it as UTF-8, which "
            "Excel calls 'CSV UTF-8'"
        ) from error
    if "\0" in decoded:
        raise DatasetError(
            f"{table} has bytes that are 0, as UTF-16 without its mark: save it as UTF-8, which "
            "Excel calls 'CSV UTF-8'"
        )
    return decoded


def _read(table: Path) -> _Table:
    content = text(table)
    if not content.strip():
        raise DatasetError(f"{table} has no rows; it needs the columns path and label")
    try:
        dialect = csv.Sniffer().sniff(content.partition("\n")[0] + "\n", ",;\t|")
        lines = list(csv.reader(io.StringIO(content, newline=""), dialect))
    except csv.Error as error:
        raise DatasetError(f"{table} has no columns: {error}") from error
    head = [re.sub("[^a-z]", "", cell.casefold()) for cell in lines[0]]
    path, label = (_column(table, lines[0], head, names) for names in (PATH, LABEL))
    split = next((head.index(name) for name in SPLIT if name in head), None)
    if split is None:
        split = _by_values(lines[1:], {path, label})
    rows: list[_Row] = []
    incomplete: list[tuple[str, str]] = []
    for number, cells in enumerate(lines[1:], 2):
        if not any(cell.strip() for cell in cells):
            continue
        cells += [""] * (len(head) - len(cells))
        name, own = cells[path].strip(), cells[label].strip()
        if not name or not own:
            lacks = "label" if name else "picture"
            incomplete.append((name, f"it has no {lacks} in the table: line {number}"))
            continue
        part = "train" if split is None else cells[split].strip()
        found = _split_in(part)
        if found is None:
            raise DatasetError(
                f"{table}, line {number}, has the split {part!r}; it is train, validation or test"
            )
        rows.append(_Row(name, own, found))
    if not rows:
        reason = f": line {_line(incomplete)}, has no picture or no label" if incomplete else ""
        raise DatasetError(f"{table} has no rows with a picture and a label{reason}")
    return _Table(rows, incomplete, _notes(table, lines[0], {path, label, split}, split))


def _line(incomplete: Sequence[tuple[str, str]]) -> str:
    return incomplete[0][1].rpartition(" ")[2]


def _split_in(cell: str) -> Split | None:
    found = reading(cell.strip())
    return None if found is None else found.split


def _by_values(lines: Sequence[Sequence[str]], but: set[int]) -> int | None:
    """Return the only column whose cells all name splits, such as Training and PublicTest.

    Columns in `but` are skipped. Returns None if no column, or more than one, has such cells.
    """
    found = []
    for column in range(max(map(len, lines), default=0)):
        if column in but:
            continue
        values = {cells[column].strip() for cells in lines if len(cells) > column}
        if len(values) > _MOST_SPLITS:
            continue
        named = set(map(_split_in, values))
        if None not in named and "train" in named and len(named) > 1:
            found.append(column)
    return found[0] if len(found) == 1 else None


def _notes(
    table: Path, head: Sequence[str], used: set[int | None], split: int | None
) -> tuple[str, ...]:
    """Return notes that say which column has the splits, and which columns are not read."""
    notes = [] if split is None else [f"{table}: the column {head[split]!r} tells the splits"]
    if more := [cell for number, cell in enumerate(head) if number not in used and cell.strip()]:
        text = f"{table}: not read are the columns {shown.some(map(repr, more))}"
        if split is None:
            text += "; a column split, of train, validation and test, would tell the splits"
        notes.append(text)
    return tuple(notes)


def _column(table: Path, shown: Sequence[str], head: Sequence[str], names: Sequence[str]) -> int:
    for name in names:
        if name in head:
            return head.index(name)
    raise DatasetError(
        f"{table} has the columns {', '.join(map(repr, shown[:8]))}; call the one with the "
        f"{'pictures path' if names is PATH else 'labels label'}"
    )


def _place(table: Path, rows: Sequence[_Row]) -> Path:
    """Return the folder that the paths are relative to: the first with one of the first pictures.

    Raises `DatasetError` if there is none.
    """
    places = [table.parent / beside.format(stem=table.stem) for beside in _BESIDE]
    for place in places:
        if any(_file(place, row.name) is not None for row in rows[:_LOOKED_AT]):
            return place
    raise DatasetError(
        f"{table} names {rows[0].name}, which is neither in {table.parent} nor in a folder of it "
        "such as images: put the pictures there, or write paths relative to the table"
    )


def _file(place: Path, name: str) -> Path | None:
    """Find the file of a picture; its name may lack the extension, or have backslashes of Windows.

    Returns None if there is no such file.
    """
    written = dict.fromkeys((name, name.replace("\\", "/")))
    paths = (place / (each + ending) for each in written for ending in _ENDINGS)
    return next((path for path in paths if path.is_file()), None)


def _natural(label: str) -> tuple[bool, int, str]:
    """Return a sort key for labels: numbers by their value, before words."""
    is_number = label.isascii() and label.isdigit()
    return not is_number, int(label) if is_number else 0, label
