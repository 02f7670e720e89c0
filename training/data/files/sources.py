"""Where the pictures of a data set are, by its name or path: a folder, or a table of files.

name → a path, or a name below the data root → archives and shards are unpacked
     → a folder or table → its splits, and the files of each
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from models.registry import nearest, proposal
from training.data.files import archives, folders, picture_files, refusals, roboflow, shards, tables
from training.data.files.folders import Files
from training.data.files.layout import DatasetError
from training.data.files.splits import Split
from training.data.registry import DATASETS

JOIN = " + "
_NEIGHBOURS = 10_000  # names beside the one that is missing


def parts(name: str, root: Path | None = None) -> list[str]:
    """Split a name at " + " into the names of the joined data sets.

    The path of an existing folder or file, as given or under `root`, is one name.
    """
    places = [Path(name)] if root is None else [Path(name), root / name]
    if any(os.path.exists(each) for each in places):  # noqa: PTH110 (a name too long is no error)
        return [name]
    return [part.strip() for part in name.split(JOIN)]


def source_of(name: str, root: Path) -> Path | None:
    """Return the image folder or table of that name, under the root or as a path; None without one.

    An archive is unpacked, and its folder returned; shards are unpacked too, and their table
    returned. Raises `DatasetError` for an archive or shards that can't be unpacked, or hold no data
    set, and `InstallationError` if a package is missing.
    """
    for place in (root / name, Path(name)) if name else ():
        if tables.is_table(place):
            return place
        if found := shards.of(place):
            return shards.unpacked(place, found, root)
        if archives.is_archive(place):
            folder = archives.unpacked(place, root)
            if not (is_folder_of_pictures(folder) and picture_files.holds_pictures(folder)):
                raise DatasetError(refusals.of_folder(folder, str(place)))
            return folder
        if is_folder_of_pictures(place):
            # where a disk takes capitals for small letters, torchvision's MNIST is no mnist
            if name in DATASETS and place.name not in {f.name for f in place.parent.iterdir()}:
                continue
            return place
    return None


def is_packed(path: Path) -> bool:
    """Whether a path is a table, an archive or shards, which `fit` takes in place of a folder."""
    return tables.is_table(path) or archives.is_archive(path) or bool(shards.of(path))


def is_same(one: str, other: str, root: Path) -> bool:
    """Whether `one` names the same data set as `other`, or one of those that `other` joins.

    Two names are the same if they lead to the same folder or file, under the root or as paths.
    """
    if one in parts(other, root):
        return True
    places = [source_of(each, root) for each in (one, other)]
    return None not in places and len({each.resolve() for each in places if each}) == 1


def is_folder_of_pictures(folder: Path) -> bool:
    return folders.is_data_set(folder) or roboflow.is_export(folder)


def note(name: str, source: Path) -> tuple[str, ...]:
    """Return a note that a folder is used in place of the registered data set of the same name.

    It is empty if `name` is not that of a registered data set.
    """
    if name not in DATASETS:
        return ()
    place = source if source.is_absolute() else Path(".", source)
    return (
        f"{name} is the name of a data set of Fanlight, and {_relative(place)} is taken for it: "
        "rename the folder to get the one of Fanlight",
    )


def _relative(place: Path) -> str:
    return str(place) if place.is_absolute() else f"./{place}"


def splits_of(source: Path) -> Mapping[Split, Path]:
    """Return the splits of a data set, each with the folder or table that has its pictures."""
    found: Mapping[Split, Path] = _reader(source).splits(source)
    return found


def files_of(source: Path, split: Split, seed: int) -> Files:
    """List the pictures of one split of a folder or table; raises `DatasetError`."""
    found: Files = _reader(source).files(source, split, seed)
    return found


def _reader(source: Path) -> ModuleType:
    if tables.is_table(source):
        return tables
    return roboflow if roboflow.is_export(source) else folders


def missing(name: str, root: Path) -> DatasetError:
    """Return the error for a name that is neither a registered data set nor a source of files."""
    for place in (root / name, Path(name)) if name else ():
        if place.is_dir():
            return DatasetError(f"no data set {name!r}: {refusals.of_folder(place, str(place))}")
        if place.is_file():
            return DatasetError(refusals.of_file(place))
    if not name:
        return DatasetError("no data set '': the name is empty; give a folder, or a name")
    known = DATASETS.names()
    meant = proposal(name, known) or similar(Path(name)) or similar(root / name)
    return DatasetError(
        f"no data set {name!r}: {meant}there is no folder {root / name} with "
        f"one folder a class in it or in its train, and by name there are {', '.join(known)}; "
        "see --data-root"
    )


def similar(missing: Path) -> str:
    """Suggest a data set with a similar name beside a missing path: `did you mean 'a/pets'? `.

    Returns an empty text if there is none.
    """
    beside = {}
    try:
        for number, each in enumerate(missing.parent.iterdir()):
            if number == _NEIGHBOURS:
                break
            if each.is_dir() or is_packed(each):
                beside[each.name] = each
    except OSError:
        return ""
    near = nearest(missing.name, beside)
    return f"did you mean {str(beside[near])!r}? " if near else ""
