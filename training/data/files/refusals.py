"""Error messages for folders and files that are no data set: what they hold, and what to do."""

import re
from collections import Counter
from itertools import islice
from pathlib import Path

from models.images.formats import sniff
from training.data import names
from training.data.files import archives, layout, picture_files, splits, tables

_LOOKED_AT = 20_000  # files
_PREFIX = re.compile(r"(.*[^\W\d_])[\W_]*\d+")  # Abyssinian_1
_IN_CLASSES = "make one folder for each class, with its pictures in it"
_KINDS = (
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard"),
    (b"\x04\x22\x4d\x18", "compressed with LZ4"),
    (b"MSCF", "a CAB archive"),
    (b"\x1f\x9d", "compressed with compress"),
    (b"xar!", "a XAR archive"),
    (b"hsqs", "a disk image"),
    (b"\xd0\xcf\x11\xe0", "a file of an old Office"),
)
_CUT = (
    (b"PK", "a zip"),
    (b"\x1f\x8b", "a gzip"),
    (b"\xfd7zXZ", "an xz"),
    (b"BZh", "a bzip2"),
)


def of_file(path: Path) -> str:
    """Return the error message for a file that is neither an archive nor a table."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        return f"{path} can't be read: {error.strerror}"
    if size == 0:
        return f"{path} is empty (0 bytes): download it again, or give a folder of pictures"
    if sniff(head) is not None:
        return (
            f"{path} is one picture, and one picture is no data set: {_IN_CLASSES}, and give the "
            "folder around them"
        )
    for beginning, kind in _KINDS:
        if head.startswith(beginning):
            return f"{path} is {kind}, which is not read: unpack it first, and give the folder"
    for beginning, kind in _CUT:
        if head.startswith(beginning):
            return (
                f"{path} begins as {kind} and can't be opened as an archive: it is cut off or "
                "damaged: download it again. If it is whole, unpack it first, and give the folder"
            )
    if re.match(rb"\s*<(?:!doctype html|html|\?xml)", head, re.IGNORECASE):
        return (
            f"{path} is a web page, not an archive: the download has failed, or wants you to log "
            "in; download it again"
        )
    if path.suffix.lower() in (".zip", ".tar", ".tgz", ".gz", ".xz", ".bz2", ".tbz2", ".txz"):
        return (
            f"{path} is no archive, or its beginning is damaged: download it again; zip and tar "
            "(plain, gz, bz2, xz) are read"
        )
    return (
        f"{path} is no data set: give a folder of pictures, a zip or tar of one, a CSV with the "
        "columns path and label, or shards (Parquet, WebDataset)"
    )


def of_folder(folder: Path, called: str) -> str:
    """Return the error message for a folder without classes, which says what it holds instead.

    `called` is the path that the user gave.
    """
    root = layout.unwrapped(folder, [])
    files = [
        path
        for path in islice(picture_files.walk(root, set()), _LOOKED_AT)
        if not any(map(picture_files.is_hidden, path.relative_to(root).parts))
    ]
    if not files:
        return f"{called} is empty: {_IN_CLASSES}"
    if packed := [path for path in files if archives.is_archive(path)]:
        place = str(packed[0].relative_to(root)) if called != str(folder) else str(packed[0])
        way = (
            "unpack it, and give its folder"
            if called != str(folder)
            else "give the archive itself, or unpack it"
        )
        return f"{called} holds no folders of pictures, and the archive {place}: {way}"
    if any(path.name == "[Content_Types].xml" for path in files):
        return f"{called} is a file of an Office: save the table as a CSV (UTF-8), and give that"
    pictures = [path for path in files if picture_files.unread(path) is None]
    if pictures and (found := _tables(root)):
        return (
            f"{called} has {len(pictures):,} pictures and no folders of classes, and beside them "
            f"the table {found[0].relative_to(root)}: give the table, {found[0]}"
        )
    if any(path.name.endswith("coco.json") or path.name == "data.yaml" for path in files):
        return (
            f"{called} is a data set for detection, with boxes in place of classes: export it for "
            f"classification (in Roboflow: Folder Structure), or {_IN_CLASSES}"
        )
    if pictures:
        return _flat(called, root, pictures)
    kinds = Counter(path.suffix.lower() or "no ending" for path in files).most_common(4)
    text = names.some(f"{kind} ({count:,})" for kind, count in kinds)
    return (
        f"{called} has no folders with pictures in it; its files are {text}: {_IN_CLASSES}, or in "
        "train"
    )


def _flat(called: str, root: Path, pictures: list[Path]) -> str:
    count = f"{len(pictures):,} pictures" if len(pictures) > 1 else "one picture"
    text = f"{called} has {count}, and no folders with pictures in it"
    parts = [each for each in picture_files.folders_in(root) if splits.reading(each.name)]
    inside = f" in {names.some(each.name for each in parts)}" if parts else ", or in its train"
    way = f"make one for each class there{inside}"
    matches = (_PREFIX.fullmatch(path.stem) for path in pictures)
    counts = Counter(match[1] for match in matches if match).most_common()
    if 1 < len(counts) < len(pictures) / 2:
        first = names.some((f"{name} ({count:,})" for name, count in counts), 4)
        text += f"; their names begin with {first}"
        way += ", or list them in a CSV with the columns path and label, and give that"
    return f"{text}: {way}"


def _tables(root: Path) -> list[Path]:
    """List the tables in a folder, or in its splits, that have columns for pictures and labels."""
    places = [root, *(each for each in picture_files.folders_in(root) if splits.reading(each.name))]
    found = [path for place in places for path in sorted(place.iterdir())]
    found = [path for path in found if tables.is_table(path) and tables.has_columns(path)]
    return sorted(found, key=lambda path: splits.split_of(path.stem) != "train")
