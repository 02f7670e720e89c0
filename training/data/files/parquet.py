"""Parquet with images in it: which columns hold them, and their bytes, a few rows at a time."""

import re
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from models.errors import OptionError

IMAGE = ("image", "images", "img", "bytes", "content", "data", "picture", "png", "jpg", "jpeg")
"""Usual names of a column of images, as `plain` writes them."""
ROWS = 16  # that are decoded together
MAX_GROUP_BYTES = 1 << 32  # that one group of rows claims to unpack to


def plain(name: str) -> str:
    """Return the name of a column in small letters, without anything else."""
    return re.sub("[^a-z]", "", name.casefold())


def usual(there: Sequence[str], names: Sequence[str]) -> str | None:
    """Return the column that has the first of the usual names; None if there is none."""
    written = [plain(name) for name in there]
    return next((there[written.index(name)] for name in names if name in written), None)


def images(schema: pa.Schema) -> list[str]:
    """Return the columns that hold bytes, also as Hugging Face's pairs of bytes and path."""
    return [field.name for field in schema if _has_bytes(field.type)]


def _has_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _has_bytes(field.type) for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def texts(schema: pa.Schema) -> list[str]:
    """Return the columns that hold text."""
    return [field.name for field in schema if _is_text(field.type)]


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def check_groups(called: str, file: pq.ParquetFile) -> None:
    """Raise `OptionError` if a group of rows would need too much memory."""
    for number in range(file.metadata.num_row_groups):
        size = file.metadata.row_group(number).total_byte_size
        if size > MAX_GROUP_BYTES:
            raise OptionError(
                f"{called}: its group of rows {number} claims {size:,} bytes, and at most "
                f"{MAX_GROUP_BYTES:,} are unpacked: write it with smaller groups"
            )


def encoded(batch: pa.RecordBatch, column: str) -> Iterator[tuple[bytes, str | None]]:
    """Yield the bytes of each image in a column, empty for none, and the path written with it."""
    found, paths = batch.column(column), None
    if pa.types.is_struct(found.type):
        if "path" in [field.name for field in found.type]:
            paths = found.field("path")
        found = found.field("bytes")
    for row in range(len(batch)):
        yield found[row].as_py() or b"", None if paths is None else paths[row].as_py()
