"""Images without classes: every picture in a folder, however deep, or a data set by name."""

from dataclasses import replace
from functools import reduce
from pathlib import Path

import numpy as np
import torch
from rich.markup import escape
from rich.progress import track

from models.preprocessing import ImageError, InputSpec, read
from training.data import datasets
from training.data.datasets import DatasetError, ImageSet, Origin
from training.data.files import folders, sources
from training.data.registry import DATASETS

LABEL = "stranger"
MAX_PICTURES = 20_000


def load(name: str, root: Path, spec: InputSpec) -> ImageSet:
    """Load all pictures of a folder, or the test split of a data set, as one class.

    `name` is a folder (under the root or as a path), a data set, or several joined by " + ". All
    pictures have the label `LABEL`. Raises `DatasetError` if there are none, or more than
    `MAX_PICTURES` in a folder.
    """
    found = reduce(ImageSet.joined, (_one(part, root, spec) for part in sources.parts(name, root)))
    return replace(found, targets=torch.zeros_like(found.targets), labels=(LABEL,))


def _one(name: str, root: Path, spec: InputSpec) -> ImageSet:
    if name not in DATASETS:
        for folder in (root / name, Path(name)) if name else ():
            if folder.is_dir():
                return _pictures(folder, spec)
        if sources.source_of(name, root) is None:
            raise DatasetError(
                f"no folder {name!r} of pictures, and no data set of that name: give a folder, or "
                f"one of {', '.join(DATASETS.names())}"
            )
    return datasets.load(name, "test", root, spec)


def _pictures(folder: Path, spec: InputSpec) -> ImageSet:
    paths, left_out = folders.pictures(folder)
    if len(paths) > MAX_PICTURES:
        raise DatasetError(
            f"{folder} has {len(paths):,} files; at most {MAX_PICTURES:,} pictures are taken: name "
            "a folder with fewer"
        )
    images, origins = [], []
    description = f"reading {escape(str(folder))}"
    for path in track(paths, description, transient=True, disable=len(paths) < 1000):
        try:
            images.append(read(path.read_bytes(), spec))
            origins.append(Origin(str(path)))
        except ImageError as error:
            left_out.append((path, f"broken: {error}"))
        except OSError as error:
            left_out.append((path, f"it can't be read: {error.strerror}"))
    if not images:
        why = f": none of its {len(left_out):,} files is one" if left_out else ""
        raise DatasetError(f"{folder} has no pictures{why}; name a folder that has some")
    pixels = torch.from_numpy(np.array(images))
    targets = torch.zeros(len(images), dtype=torch.long)
    return ImageSet(pixels, targets, (LABEL,), tuple(left_out), str(folder), tuple(origins))
