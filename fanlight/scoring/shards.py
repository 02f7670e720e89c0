"""Shards: rows → the bytes of a file of Parquet or CSV, the same bytes for the same rows."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any, Literal, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from fanlight.scoring.rows import COLUMNS, Row
from models.errors import DamagedFileError
from training import spreadsheet

Format = Literal["parquet", "csv"]
FORMATS: tuple[Format, ...] = get_args(Format)
_LABELS = pa.list_(pa.string())
_TOP = pa.list_(pa.struct([("label", pa.string()), ("score", pa.float64())]))
SCHEMA = pa.schema(
    [
        pa.field("index", pa.int64(), nullable=False),
        ("path", pa.string()),
        ("label", pa.string()),
        ("score", pa.float64()),
        ("top", _TOP),
        ("familiarity", pa.float64()),
        ("unsure", pa.bool_()),
        ("why", pa.string()),
        ("set", _LABELS),
        ("warnings", _LABELS),
        ("status", pa.int16()),
        ("error", pa.string()),
    ]
)


def name(number: int, format: Format) -> str:
    """Return the file name of a shard: names in the order of their numbers."""
    return f"part-{number:06}.{format}"


def encode(rows: Sequence[Row], format: Format) -> bytes:
    """Write rows as the content of a shard. Text that UTF-8 can't encode has `?` in it."""
    return _parquet(rows) if format == "parquet" else _csv(rows)


def _parquet(rows: Sequence[Row]) -> bytes:
    columns: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in COLUMNS}
    columns["path"] = [_encodable(path) for path in columns["path"]]
    columns["top"] = [top and [each._asdict() for each in top] for top in columns["top"]]
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pydict(columns, SCHEMA), file, compression="zstd")
    return file.getvalue()


def _encodable(text: str | None) -> str | None:
    return None if text is None else text.encode(errors="replace").decode()


def _csv(rows: Sequence[Row]) -> bytes:
    return spreadsheet.as_csv(COLUMNS, ([_cell(value) for value in row.values()] for row in rows))


def _cell(value: Any) -> object:
    """Return what a CSV has of a value: lists as JSON, true and false as JSON has them."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return json.dumps([_plain(each) for each in value], ensure_ascii=False)
    return value


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else value._asdict()


def count(content: bytes, format: Format) -> int:
    """Return how many rows a shard has; raise `DamagedFileError` if it is not whole."""
    try:
        if format == "parquet":
            return int(pq.read_metadata(io.BytesIO(content)).num_rows)
        rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
    except (pa.ArrowException, csv.Error, ValueError) as error:
        raise DamagedFileError(f"no whole shard: {error}") from error
    if not rows or tuple(rows[0]) != COLUMNS or any(len(row) != len(rows[0]) for row in rows):
        raise DamagedFileError("no whole shard: it has other columns")
    return len(rows) - 1
