"""Tables for people, as CSV that a spreadsheet opens: rows of text → bytes."""

import csv
import io
from collections.abc import Iterable, Sequence

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a cell that begins so may be computed


def as_csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """Return the table as CSV in UTF-8, with `?` for characters that UTF-8 can't encode.

    Names of files and classes can hold anything. A cell that a spreadsheet would take for a formula
    gets an apostrophe in front, which marks it as text (OWASP, CSV Injection).
    """
    written = io.StringIO()
    table = csv.writer(written)
    table.writerow(head)
    table.writerows([_as_text(cell) for cell in row] for row in rows)
    return written.getvalue().encode(errors="replace")


def _as_text(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
