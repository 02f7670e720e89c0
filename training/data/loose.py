"""Images without classes: every picture in a folder, however deep, or a data set by name."""

from dataclasses import replace
from functools import reduce
from pathlib import Path

import torch

from models.preprocessing import ImageError, InputSpec, read
from training.data import datasets
from training.data.datasets import DatasetError, ImageSet, Origin
from training.data.files import folders, sources
from training.data.progress import tracked
from training.data.registry import DATASETS
from training.data.storage import Storage

LABEL = "stranger"
MAX_PICTURES = 20_000


def load(name: str, root: Path, spec: InputSpec, place: Storage | None = None) -> ImageSet:
    """Load all pictures of a folder, or the test split of a data set, as one class.

    `name` is a folder (under the root or as a path), a data set, or several joined by " + ". All
    pictures have the label `LABEL`. Raises `DatasetError` if there are none, or more than
    `MAX_PICTURES` in a folder.
    """
    place = place or Storage()
    parts = (_one(part, root, spec, place) for part in sources.parts(name, root))
    found = reduce(ImageSet.joined, parts)
    return replace(found, targets=torch.zeros_like(found.targets), labels=(LABEL,))


def _one(name: str, root: Path, spec: InputSpec, place: Storage) -> ImageSet:
    if name not in DATASETS:
        for folder in (root / name, Path(name)) if name else ():
            if folder.is_dir():
                return _pictures(folder, spec, place)
        if sources.source_of(name, root) is None:
            raise DatasetError(
                f"no folder {name!r} of pictures, and no data set of that name: give a folder, or "
                f"one of {', '.join(DATASETS.names())}"
            )
    return datasets.load(name, "test", root, spec, place=place)


def _pictures(folder: Path, spec: InputSpec, place: Storage) -> ImageSet:
    paths, left_out = folders.pictures(folder)
    if len(paths) > MAX_PICTURES:
        raise DatasetError(
            f"{folder} has {len(paths):,} files; at most {MAX_PICTURES:,} pictures are taken: name "
            "a folder with fewer"
        )
    origins = []
    draft = place.draft(len(paths), spec.shape, str(folder))
    for path in tracked(paths, f"reading {folder}", least=1000):
        try:
            picture = read(path.read_bytes(), spec)
        except ImageError as error:
            left_out.append((path, f"broken: {error}"))
        except OSError as error:
            left_out.append((path, f"it can't be read: {error.strerror}"))
        else:
            draft.add(picture)
            origins.append(Origin(str(path)))
    if not origins:
        why = f": none of its {len(left_out):,} files is one" if left_out else ""
        raise DatasetError(f"{folder} has no pictures{why}; name a folder that has some")
    targets = torch.zeros(len(origins), dtype=torch.long)
    return ImageSet(
        draft.pixels(),
        targets,
        (LABEL,),
        tuple(left_out),
        str(folder),
        tuple(origins),
        draft.notes,
    )
