"""Tables of figures in a run folder, as CSV: rows → bytes → the same rows.

Every digit of a figure is kept. A figure that is not there is an empty cell, and one that is not
finite is `nan` or `inf`.
"""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from models.errors import damaged

Row = TypeVar("Row")


@dataclass(frozen=True)
class Table(Generic[Row]):
    """The format of one kind of table.

    `parse` makes a row from its cells by column name and the rows before it. It raises `KeyError`
    for a missing cell and `ValueError` for a wrong one. In errors, `noun` stands for a row and
    `title` for the whole table. Columns that are not `required` may be missing in a file.
    """

    columns: Sequence[str]
    required: Sequence[str]
    noun: str
    title: str
    parse: Callable[[Mapping[str, str], Sequence[Row]], Row]

    def as_csv(self, rows: Iterable[Sequence[object]]) -> bytes:
        """Write rows as CSV; cells are in the order of the columns, and None gives an empty
        cell."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(["" if cell is None else cell for cell in row] for row in rows)
        return text.getvalue().encode()

    def read(self, path: Path) -> list[Row]:
        """Read the rows of a file; raises `OSError` without it, and `DamagedFileError` with the
        line."""
        rows = csv.DictReader(io.StringIO(_text(path), newline=""))
        found: list[Row] = []
        try:
            if missing := {*self.required} - {*(rows.fieldnames or ())}:
                lacks = ", ".join(sorted(missing))
                raise damaged(path, f"is not {self.title}: it lacks {lacks}")
            for row in rows:
                found.append(self.parse(row, found))
        except KeyError as error:
            raise damaged(path, f"has no {error.args[0]}", line=rows.line_num) from error
        except csv.Error as error:  # of the line that was to be read next
            line = rows.line_num + 1
            raise damaged(path, f"is no {self.noun} ({error})", line=line) from error
        except (ArithmeticError, TypeError, ValueError) as error:
            raise damaged(path, f"is no {self.noun} ({error})", line=rows.line_num) from error
        return found


def figures(row: Mapping[str, str]) -> dict[str, float]:
    """Return the cells that are not empty as numbers.

    Raises `ValueError` or `TypeError` if one is not a number.
    """
    return {name: float(cell) for name, cell in row.items() if cell}


def _text(path: Path) -> str:
    content = path.read_bytes()
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise damaged(path, "is not UTF-8", line=line) from error
    if not text.endswith("\n"):
        raise damaged(path, "is cut off", line=text.count("\n") + 1)
    return text
