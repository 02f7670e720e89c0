"""Roboflow's multi-label export: each split has a `_classes.csv` with a column for each class.

_classes.csv: filename, cat, dog → a picture belongs to the class whose column has a 1
"""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Self

from training.data import names
from training.data.files import folders, picture_files, tables
from training.data.files.folders import Files
from training.data.files.layout import DatasetError
from training.data.files.splits import Split, split_of

TABLE = "_classes.csv"


def is_export(folder: Path) -> bool:
    """Return whether a folder has `_classes.csv` in it, or in subfolders named after splits."""
    try:
        return bool(_places(folder))
    except OSError:
        return False


def splits(folder: Path) -> Mapping[Split, Path]:
    """Return the splits of an export, each with its folder."""
    return _places(folder)


def files(folder: Path, split: Split, seed: int) -> Files:
    """List the pictures of one split, as `folders.files` does; raises `DatasetError`."""
    places = _places(folder)
    source: Split = split if split in places else "train"
    if source not in places:
        return Files((), (), ())
    read = {each: _Table.of(place) for each, place in places.items()}
    marked = {label for table in read.values() for _, own in table.rows for label in own}
    labels = tuple(sorted(marked))  # Roboflow writes a column for a group of classes, too
    listed = _listed(places[source], read[source], labels)
    if split == "validation" and source == "train":
        return Files((), (), listed.labels)
    is_whole = split == source and (split != "train" or "test" in places)
    return listed if is_whole else folders.share(listed, split, seed)


def _places(folder: Path) -> dict[Split, Path]:
    if not folder.is_dir():
        return {}
    root = folder
    while not (root / TABLE).is_file() and len(inner := picture_files.folders_in(root)) == 1:
        if split_of(inner[0].name):
            break
        root = inner[0]
    if (root / TABLE).is_file():
        return {"train": root}
    found: dict[Split, Path] = {}
    for each in picture_files.folders_in(root):
        split = split_of(each.name)
        if split is not None and (each / TABLE).is_file():
            found[split] = each
    return found


class _Table(NamedTuple):
    """The rows of `_classes.csv`: the name of each picture, with the classes that it belongs to."""

    rows: tuple[tuple[str, tuple[str, ...]], ...]

    @classmethod
    def of(cls, place: Path) -> Self:
        table = place / TABLE
        lines = list(csv.reader(io.StringIO(tables.text(table), newline=""), skipinitialspace=True))
        head = [cell.strip() for cell in lines[0]] if lines else []
        if len(head) < 2 or len(set(head)) < len(head):
            raise DatasetError(
                f"{table} needs the column filename, and one column for each class, by its name; "
                f"it has {names.some(map(repr, head)) or 'none'}"
            )
        return cls(
            tuple(
                (
                    cells[0].strip(),
                    tuple(
                        label
                        for label, cell in zip(head[1:], cells[1:], strict=False)
                        if cell.strip().lower() in _ONE
                    ),
                )
                for cells in lines[1:]
                if cells
            )
        )


def _listed(place: Path, table: _Table, labels: tuple[str, ...]) -> Files:
    found: list[tuple[Path, int]] = []
    left_out: list[tuple[Path, str]] = []
    for name, marked in table.rows:
        path = place / name
        if len(marked) != 1:
            left_out.append((path, f"{len(marked) or 'no'} classes in {TABLE}, in place of one"))
        elif not path.is_file():
            left_out.append((path, "in the table, and not there"))
        elif (reason := picture_files.unread(path)) is not None:
            left_out.append((path, reason))
        else:
            found.append((path, labels.index(marked[0])))
    listed = {TABLE, *(name for name, _ in table.rows)}
    left_out += [
        (path, f"not in {TABLE}")
        for path in picture_files.walk(place, set())
        if str(path.relative_to(place)) not in listed
    ]
    paths, targets = (tuple(each) for each in zip(*found, strict=True)) if found else ((), ())
    notes = (f"{place}: the classes are told by {TABLE}",)
    return Files(paths, targets, labels, tuple(left_out), notes)


_ONE = ("1", "1.0", "true")
