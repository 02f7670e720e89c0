"""Shards in place of a folder: Parquet as Hugging Face writes it, tars as WebDataset names them.

    shards → unpacked once, under the data root: pictures, and a table of their labels → `tables`

A picture's file has the bytes that the shard has, and is called after shard and row. The split is
told by the names of the shards or of their folders, such as `train-00000-of-00002.parquet`.
"""

import csv
import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from models.errors import FanlightError
from models.extras import imported
from models.images.formats import sniff
from training.data import names
from training.data.files import archives, picture_files, tables
from training.data.files.layout import DatasetError
from training.data.files.splits import Split, reading
from training.data.progress import tracked

TABLE = "labels.csv"
"""The table beside the unpacked pictures."""
PARQUET = (".parquet", ".pq", ".parq")
CLASSES = ("classnames.txt", "classes.txt", "labels.txt")
"""Files beside shards whose lines are the names of the classes 0, 1 and so on."""
_TARS = (".tar", ".tar.gz", ".tgz")
_TOLD = ("cls", "label", "class", "json")  # files of a sample that tell its class
_IN_JSON = ("class_name", "label_name", "classname", "label", "class", "cls", "category")
_LOOKED_AT = 200  # members of a tar, or files of a folder
_MOST = 1 << 20  # bytes of a label's file
MOST_OF_PICTURE = 1 << 28  # bytes
_FOLDER = 10_000  # pictures in a folder


class Sample(NamedTuple):
    """A picture of a shard: its bytes, None if there is none, and its label, empty for none."""

    encoded: bytes | None
    label: str


def of(place: Path) -> list[Path]:
    """Return the shards that a path names: itself, or all in the folder, sorted; else none."""
    if place.is_file():
        return [place] if _is_parquet(place) or _is_web_dataset(place) else []
    if not place.is_dir():
        return []
    first = next((path for path in islice(_inside(place), _LOOKED_AT) if _decides(path)), None)
    if first is None or not (_is_parquet(first) or _is_web_dataset(first)):
        return []
    endings = PARQUET if _is_parquet(first) else _TARS
    return sorted(path for path in _inside(place) if path.name.lower().endswith(endings))


def _inside(folder: Path) -> Iterator[Path]:
    for path in picture_files.walk(folder, set()):
        if not any(map(picture_files.is_hidden, path.relative_to(folder).parts)):
            yield path


def _decides(path: Path) -> bool:
    """Whether a file tells what its folder holds: shards or pictures, or something else."""
    return path.name.lower().endswith((*PARQUET, *_TARS)) or picture_files.unread(path) is None


def _is_parquet(path: Path) -> bool:
    return path.name.lower().endswith(PARQUET)


def _is_web_dataset(path: Path) -> bool:
    """Whether a tar has pictures, and beside one of the first a file that tells its class."""
    if not path.name.lower().endswith(_TARS):
        return False
    try:
        with tarfile.open(path) as tar:
            found: dict[str, set[str]] = {}
            for member in islice(tar, _LOOKED_AT):
                key, ending = _key(member.name)
                found.setdefault(key, set()).add(ending)
    except (*archives.BROKEN, OSError):
        return False
    return any(
        any(map(_is_picture, endings)) and not endings.isdisjoint(_TOLD)
        for endings in found.values()
    )


def unpacked(place: Path, shards: Sequence[Path], root: Path) -> Path:
    """Return the table of the pictures in shards, which are unpacked if they have not been.

    Raises `DatasetError` for shards that can't be read or tell no labels, or too little space, and
    `InstallationError` without pyarrow.
    """
    if _is_parquet(shards[0]):
        imported("pyarrow.parquet", "scoring", f"{place}, which is Parquet,")
    try:
        return archives.made(place, shards, root, partial(_unpack, place, shards)) / TABLE
    except FanlightError:
        raise
    except archives.BROKEN as error:
        raise DatasetError(
            f"{place} can't be read: {' '.join(str(error).split())[:200] or 'it is cut off'}; "
            "download it again"
        ) from error


def _unpack(place: Path, shards: Sequence[Path], into: Path) -> None:
    archives.check_room(place, sum(each.stat().st_size for each in shards), into.parent)
    parts = _splits(place, shards)
    read = _of_parquet if _is_parquet(shards[0]) else _of_tar
    into.mkdir()
    with (into / TABLE).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", *(["split"] if parts else [])])
        for number, shard in enumerate(tracked(shards, f"unpacking {place}")):
            for row, sample in enumerate(read(shard)):
                path = ""
                if sample.encoded is not None:
                    stem = re.sub(r"[^\w-]", "_", shard.name.partition(".")[0])[:60]
                    path = f"{number:05}-{stem}/{row // _FOLDER:03}/{row:07}{_ending(sample)}"
                    (into / path).parent.mkdir(parents=True, exist_ok=True)
                    (into / path).write_bytes(sample.encoded)
                table.writerow([path, sample.label, *([parts[shard]] if parts else [])])


def _ending(sample: Sample) -> str:
    found = sniff(sample.encoded or b"")
    return "" if found is None else found.extensions[0]


def _splits(place: Path, shards: Sequence[Path]) -> dict[Path, Split]:
    """Return the split of each shard, by its name or its folder's; empty if none has one."""
    found: dict[Path, Split] = {}
    for shard in shards:
        inside = shard.relative_to(place) if shard != place else Path(shard.name)
        for name in (shard.name.partition(".")[0], *(p.name for p in inside.parents)):
            if (told := reading(name)) is not None:
                found[shard] = told.split
                break
    if not found or len(found) == len(shards):
        return found
    odd = names.some(each.name for each in shards if each not in found)
    raise DatasetError(
        f"{place}: the names of some shards tell their split, and those of others don't: {odd}; "
        "put train, validation or test into each name"
    )


def _of_parquet(shard: Path) -> Iterator[Sample]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from training.data.files import parquet

    try:
        with pq.ParquetFile(shard) as file:
            parquet.check_groups(str(shard), file)
            schema = file.schema_arrow
            image = _column(shard, parquet.images(schema), parquet.IMAGE, "pictures", "image")
            others = [name for name in schema.names if name != image]
            classes = _of_hugging_face(schema.metadata or {})
            known = [name for name in others if name in classes]
            label = _column(shard, known or others, tables.LABEL, "labels", "label")
            for batch in file.iter_batches(parquet.ROWS, columns=[image, label]):
                told = batch.column(label).to_pylist()
                for (encoded, _), value in zip(parquet.encoded(batch, image), told, strict=True):
                    yield Sample(encoded or None, _label(value, classes.get(label), shard))
    except pa.ArrowException as error:
        raise DatasetError(
            f"{shard} can't be read as Parquet: {' '.join(str(error).split())[:200]}; download it "
            "again"
        ) from error


def _column(shard: Path, there: Sequence[str], usual: Sequence[str], kind: str, best: str) -> str:
    """Choose the column of pictures or labels: the only one, or that of a usual name."""
    from training.data.files import parquet

    if len(there) == 1:
        return there[0]
    if (found := parquet.usual(there, usual)) is not None:
        return found
    shown = names.some(map(repr, there)) or "none that could hold them"
    raise DatasetError(f"{shard}: of its columns, which has the {kind}? {shown}: call it {best}")


def _of_hugging_face(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Return column → names of the classes 0, 1 and so on, as the library datasets writes them."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {
            column: [str(name) for name in about["names"]]
            for column, about in features.items()
            if about.get("_type") == "ClassLabel" and isinstance(about.get("names"), list)
        }
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _of_tar(shard: Path) -> Iterator[Sample]:
    classes = _beside(shard)
    key, encoded = "", None
    told: dict[str, bytes] = {}
    with tarfile.open(shard) as tar:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # there may be millions
            if not member.isfile():
                continue
            name, ending = _key(member.name)
            if name != key and key and (encoded is not None or told):
                yield Sample(encoded, _told(told, classes, shard))
            if name != key:
                key, encoded, told = name, None, {}
            if member.size > MOST_OF_PICTURE:
                raise DatasetError(
                    f"{shard}: {names.shown(member.name)} claims {member.size:,} bytes, and a "
                    f"picture has at most {MOST_OF_PICTURE:,}: take it out"
                )
            content = tar.extractfile(member)
            if content is None:
                continue
            if ending in _TOLD:
                told[ending] = content.read(_MOST)
            elif _is_picture(ending) and encoded is None:
                encoded = content.read()
        if encoded is not None or told:
            yield Sample(encoded, _told(told, classes, shard))
        archives.check_end(tar)


def _key(name: str) -> tuple[str, str]:
    """Split a member's name as WebDataset does: `a/0001.cls` → `a/0001` and `cls`."""
    folder, slash, last = name.rpartition("/")
    stem, _, ending = last.partition(".")
    return f"{folder}{slash}{stem}", ending.lower()


def _is_picture(ending: str) -> bool:
    return f".{ending}" in picture_files.SUFFIXES


def _beside(shard: Path) -> list[str] | None:
    """Return the names of the classes in a file beside a shard; None if there is none."""
    for folder in (shard.parent, shard.parent.parent):
        for name in CLASSES:
            if (folder / name).is_file():
                return tables.text(folder / name).split("\n")
    return None


def _told(told: dict[str, bytes], classes: Sequence[str] | None, shard: Path) -> str:
    """Return the label of a sample by the first of its files that tells it; empty for none."""
    for ending in _TOLD:
        if ending not in told:
            continue
        text = told[ending].decode(errors="replace").strip()
        if ending != "json":
            return _label(text, classes, shard)
        try:
            about = json.loads(text)
        except (ValueError, RecursionError):
            continue
        found = next((about[name] for name in _IN_JSON if name in about), None)
        return _label(found, classes, shard)
    return ""


def _label(value: Any, classes: Sequence[str] | None, shard: Path) -> str:
    """Return a label as text: the name of its class where these are known, empty for none."""
    if value is None or (classes is not None and str(value).strip() == "-1"):
        return ""  # Hugging Face writes -1 where no class is known
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # pandas makes floats of numbers of which some are missing
    if isinstance(value, list | dict | float):
        raise DatasetError(
            f"{shard} has the label {names.shown(str(value))[:60]}: a label is a text or a whole "
            "number, one a picture"
        )
    text = str(value).strip()
    if classes is None or not re.fullmatch("[0-9]{1,9}", text):
        return text
    if int(text) >= len(classes) or not classes[int(text)].strip():
        raise DatasetError(
            f"{shard} has the label {text}, and names for {len(classes):,} classes: correct the "
            "list of their names"
        )
    return classes[int(text)].strip()
