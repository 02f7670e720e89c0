"""Images for tests of scoring: good ones and bad ones, in every kind of source."""

import csv
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.networks import encode, picture


def images(count: int) -> dict[str, bytes]:
    """Images by name, of several formats and sizes; every seventh is broken, in turns."""
    good = [encode(picture(number, (8 + number % 5, 8)), "PNG") for number in range(count)]
    good = [
        encode(picture(number, (40, 30)), "JPEG") if number % 3 == 1 else each
        for number, each in enumerate(good)
    ]
    bad = [b"no image", b"", good[0][:-20], good[0].replace(b"IDAT", b"IDAX")]
    return {
        f"{'ab'[number % 2]}/{number:03} é.png": bad[number // 7 % 4] if number % 7 == 6 else each
        for number, each in enumerate(good)
    }


def folder(place: Path, found: Mapping[str, bytes]) -> Path:
    for name, content in found.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return place


def zipped(place: Path, found: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in found.items():
            archive.writestr(name, content)
    return place


def parquet(place: Path, rows: int = 5, **columns: Sequence[Any]) -> Path:
    """Write a table, `rows` in each group."""
    pq.write_table(pa.table(columns), place, row_group_size=rows)
    return place


def table(place: Path, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Path:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([head, *rows])
    place.write_text(text.getvalue())
    return place
