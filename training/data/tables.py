"""A CSV of pictures and their labels → the files of each split, as of folders.

The columns are `path` and `label`, or go by another of the usual names; a column `split` is read
where there is one. Paths are relative to the CSV, or to a folder beside it, such as `images`.
"""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from models.image_formats import FORMATS
from training.data import folders
from training.data.folders import DatasetError, Files, Split

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
_LOOKED_AT = 5  # rows, to find the folder
_ENDINGS = ("", *(ending for format in FORMATS for ending in format.extensions))


def is_table(path: Path) -> bool:
    """A file that is called so."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def splits(table: Path) -> set[Split]:
    """Name the splits that its rows have: only train where it has no column for them."""
    return {row.split for row in _rows(table)}


def files(table: Path, split: Split, seed: int) -> Files:
    """List the pictures of one split, as `folders.files` does; raises `DatasetError`."""
    rows = _rows(table)
    labels = sorted({row.label for row in rows}, key=_natural)
    own = {row.split for row in rows}
    if split == "validation" and split not in own:
        return Files((), (), tuple(labels))
    wanted = split if split in own else "train"
    place = _place(table, rows)
    found: list[tuple[Path, int]] = []
    left_out: list[tuple[Path, str]] = []
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
        elif (reason := folders.unread(path)) is not None:
            left_out.append((path, reason))
        else:
            found.append((path, labels.index(seen[name])))
    paths, targets = (tuple(each) for each in zip(*found, strict=True)) if found else ((), ())
    every = Files(paths, targets, tuple(labels), tuple(left_out))
    is_whole = split in own and (split != "train" or "test" in own)
    return every if is_whole else folders.share(every, split, seed)


class _Row(NamedTuple):
    name: str
    label: str
    split: Split


def _rows(table: Path) -> list[_Row]:
    try:
        if table.stat().st_size > _MAX_BYTES:
            raise DatasetError(f"{table} is larger than {_MAX_BYTES:,} bytes: no table of pictures")
        text = table.read_text("utf-8-sig")
        dialect = csv.Sniffer().sniff(text.partition("\n")[0] + "\n", ",;\t|")
        lines = list(csv.reader(text.splitlines(), dialect))
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{table} can't be read as a table: {error}") from error
    except csv.Error as error:
        raise DatasetError(f"{table} has no columns: {error}") from error
    head = [re.sub("[^a-z]", "", cell.casefold()) for cell in lines[0]]
    path, label = (_column(table, lines[0], head, names) for names in (PATH, LABEL))
    split = next((head.index(name) for name in SPLIT if name in head), None)
    rows = []
    for number, cells in enumerate(lines[1:], 2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) <= max(path, label) or not cells[path].strip() or not cells[label].strip():
            raise DatasetError(f"{table}, line {number}, has no picture or no label")
        own = "train" if split is None else cells[split].strip() if split < len(cells) else ""
        found = folders.split_of(own)
        if found is None:
            raise DatasetError(
                f"{table}, line {number}, has the split {own!r}; it is train, validation or test"
            )
        rows.append(_Row(cells[path].strip(), cells[label].strip(), found))
    if not rows:
        raise DatasetError(f"{table} has no rows")
    return rows


def _column(table: Path, shown: Sequence[str], head: Sequence[str], names: Sequence[str]) -> int:
    for name in names:
        if name in head:
            return head.index(name)
    raise DatasetError(
        f"{table} has the columns {', '.join(map(repr, shown[:8]))}; call the one with the "
        f"{'pictures path' if names is PATH else 'labels label'}"
    )


def _place(table: Path, rows: Sequence[_Row]) -> Path:
    """The folder to which the paths are relative: the first that has one of the first pictures."""
    places = [table.parent / beside.format(stem=table.stem) for beside in _BESIDE]
    for place in places:
        if any(_file(place, row.name) is not None for row in rows[:_LOOKED_AT]):
            return place
    raise DatasetError(
        f"{table} names {rows[0].name}, which is neither in {table.parent} nor in a folder of it "
        "such as images: put the pictures there, or write paths relative to the table"
    )


def _file(place: Path, name: str) -> Path | None:
    """A table may name pictures without their ending."""
    return next((p for ending in _ENDINGS if (p := place / (name + ending)).is_file()), None)


def _natural(label: str) -> tuple[bool, int, str]:
    """Numbers by their value, before words."""
    is_number = label.isascii() and label.isdigit()
    return not is_number, int(label) if is_number else 0, label
