"""Data sets in memory: files → uint8 pixels (N, C, H, W), targets (N,) and labels.

A data set is an image folder (`training/data/folders.py`), an archive of one or a table
(`training/data/tables.py`), by its path or its name under the root, or one that is registered
(`training/data/registry.py`): downloaded to the root unless it is there, or drawn. Several joined
by " + " are one. Every picture goes through `InputSpec.pixels`, as it does in the service.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from PIL import Image
from rich.markup import escape
from rich.progress import track
from torch import Tensor

from models import decoding
from models.preprocessing import ImageError, InputSpec, read
from models.registry import proposal
from training.data import archives, folders, tables
from training.data.folders import DatasetError as DatasetError
from training.data.folders import Files, Split
from training.data.registry import DATASETS

JOIN = " + "
_BOTH: tuple[Split, Split] = ("train", "test")


class Origin(NamedTuple):
    """Where a picture is from.

    `name` is its path, or its data set, split and index where it is from no file. `size` is
    (width, height) in pixels and `digest` that of the bytes, both of the file.
    """

    name: str
    size: tuple[int, int] | None = None
    digest: bytes | None = None


@dataclass(frozen=True)
class ImageSet:
    """`images` uint8 (N, C, H, W), `targets` int64 (N,) in the order of `labels`.

    `left_out` has the files that are not among them, each with the reason; `place` says where they
    are from, for people; None for pictures that are from no files. `origins` has one for each
    picture, or is empty.
    """

    images: Tensor
    targets: Tensor
    labels: tuple[str, ...]
    left_out: tuple[tuple[Path, str], ...] = ()
    place: str | None = None
    origins: tuple[Origin, ...] = ()

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device) -> Self:
        return replace(self, images=self.images.to(device), targets=self.targets.to(device))

    def mirrored(self) -> Self:
        """The same pictures, left for right."""
        return replace(self, images=self.images.flip(-1))

    def subset(self, indices: Tensor) -> Self:
        return replace(
            self,
            images=self.images[indices],
            targets=self.targets[indices],
            origins=tuple(self.origins[i] for i in indices.tolist()) if self.origins else (),
        )

    def origin(self, index: int) -> Origin:
        return self.origins[index] if self.origins else Origin(f"no. {index}")

    def name(self, index: int) -> str:
        """The path of a picture's file, or its data set, split and index."""
        return self.origin(index).name

    def hold_out(self, fraction: float, generator: torch.Generator) -> tuple[Self, Self]:
        """Split into (rest, held out) at random, with the same fraction of every class."""
        held_out = torch.zeros(len(self), dtype=torch.bool)
        for target in range(len(self.labels)):
            members = (self.targets == target).nonzero().flatten()
            order = torch.randperm(len(members), generator=generator)
            held_out[members[order[: round(len(members) * fraction)]]] = True
        return self.subset((~held_out).nonzero().flatten()), self.subset(
            held_out.nonzero().flatten()
        )

    def relabel(self, labels: tuple[str, ...]) -> Self:
        """The same images, with targets that index the given labels.

        Raises `DatasetError` if the data set has a label that is not among them.
        """
        if unknown := sorted(set(self.labels) - set(labels)):
            raise DatasetError(
                f"the data set has the labels {', '.join(unknown)}, "
                f"which the model doesn't: it has {', '.join(labels)}"
            )
        order = torch.tensor([labels.index(label) for label in self.labels])
        return replace(self, targets=order[self.targets], labels=labels)


def load(name: str, split: Split, root: Path, spec: InputSpec, seed: int = 0) -> ImageSet:
    """Read one split of a data set, scaled to the network's input.

    `seed` decides the split of folders that have none. Raises `DatasetError` if the data set is
    neither there nor can be downloaded, or has a class without pictures.
    """
    sets = [_load(part, split, root, spec, seed) for part in parts(name)]
    if len(sets) == 1:
        return sets[0]
    labels = sets[0].labels
    sets = [each.relabel(labels) for each in sets]
    return ImageSet(
        torch.cat([each.images for each in sets]),
        torch.cat([each.targets for each in sets]),
        labels,
        tuple(pair for each in sets for pair in each.left_out),
        JOIN.join(each.place or "" for each in sets),
        tuple(origin for each in sets for origin in each.origins),
    )


def load_all(name: str, root: Path, spec: InputSpec, seed: int = 0) -> dict[str, ImageSet]:
    """Train, validation where the data set has one, and test, with the labels of train.

    Raises `DatasetError`.
    """
    train, test = (load(name, split, root, spec, seed) for split in _BOTH)
    validation = load_validation(name, root, spec)
    splits = {"train": train}
    if validation is not None:
        splits["validation"] = validation.relabel(train.labels)
    return splits | {"test": test.relabel(train.labels)}


def load_validation(name: str, root: Path, spec: InputSpec) -> ImageSet | None:
    """The pictures for validation that a data set brings along; None where it has none."""
    for part in parts(name):
        source = source_of(part, root)
        if source is None or "validation" not in splits_of(source):
            return None
    return load(name, "validation", root, spec)


def parts(name: str) -> list[str]:
    """The names of the data sets that are joined in one name."""
    return [part.strip() for part in name.split(JOIN)]


def splits_of(source: Path) -> Mapping[Split, Path]:
    """Name the splits that a data set has, each with the folder, or the table, of its pictures."""
    if tables.is_table(source):
        return dict.fromkeys(tables.splits(source), source)
    return folders.look(source).splits


def files_of(source: Path, split: Split, seed: int) -> Files:
    """The files of a folder or of a table."""
    files = tables.files if tables.is_table(source) else folders.files
    return files(source, split, seed)


def source_of(name: str, root: Path) -> Path | None:
    """The image folder or the table of that name, under the root or as a path; None for none.

    An archive is unpacked, and its folder returned.
    """
    for folder in (root / name, Path(name)) if name else ():
        if tables.is_table(folder):
            return folder
        if archives.is_archive(folder):
            return archives.unpacked(folder, root)
        if folders.is_data_set(folder):
            # where a disk takes capitals for small letters, torchvision's MNIST is no mnist
            if name in DATASETS and folder.name not in {f.name for f in folder.parent.iterdir()}:
                continue
            return folder
    return None


def _load(name: str, split: Split, root: Path, spec: InputSpec, seed: int) -> ImageSet:
    source = source_of(name, root)
    if source is not None:
        return _pictures(source, split, spec, seed)
    if name not in DATASETS:
        for there in (root / name, Path(name)) if name else ():
            if there.is_dir():
                raise DatasetError(
                    f"no data set {name!r}: {there} has no folders with pictures in it; make one "
                    f"for each class there, or in {there}/train"
                )
        names = DATASETS.names()
        raise DatasetError(
            f"no data set {name!r}: {proposal(name, names)}there is no folder {root / name} with "
            f"one folder a class in it or in its train, and by name there are {', '.join(names)}; "
            "see --data-root"
        )
    if split == "validation":
        raise DatasetError(f"{name} has no pictures for validation; take train or test")
    try:
        images = DATASETS.get(name).load(split == "train", root, spec)
        origins = tuple(Origin(f"{name} {split} no. {i}") for i in range(len(images)))
        return replace(images, place=name, origins=origins)
    except (OSError, RuntimeError) as error:
        raise DatasetError(
            f"{name} is not under {root} and could not be downloaded ({error}); "
            "give the folder that holds it as --data-root"
        ) from error


def _pictures(folder: Path, split: Split, spec: InputSpec, seed: int) -> ImageSet:
    place = _place(splits_of(folder), folder, split)
    listed = files_of(folder, split, seed)
    if split == "train" and len(listed.labels) < 2:
        raise DatasetError(
            f"{folder} has one class, {listed.labels[0]}, and a classifier needs two: each class "
            f"is a folder of its own; give {folder / listed.labels[0]} if the classes are in there"
        )
    images, targets, origins, broken = [], [], [], []
    pairs = list(zip(listed.paths, listed.targets, strict=True))
    description = f"reading {escape(str(folder))} ({split})"
    for path, target in track(pairs, description, transient=True, disable=len(pairs) < 1000):
        try:
            encoded = path.read_bytes()
            images.append(read(encoded, spec))
            targets.append(target)
            origins.append(_origin(path, encoded))
        except ImageError as error:
            broken.append((path, f"broken: {error}"))
        except OSError as error:  # it was there when the folder was listed
            broken.append((path, f"it can't be read: {error.strerror}"))
    empty = sorted(set(listed.labels) - {listed.labels[target] for target in targets})
    if not images or (empty and split == "train"):
        unread = f"; {len(broken)} files could not be read" if broken else ""
        raise DatasetError(
            f"{folder} has no pictures ({split}) of {', '.join(empty)}{unread}: add some, or "
            "remove the folder"
        )
    pixels = torch.from_numpy(np.array(images))
    left_out = (*listed.left_out, *broken)
    taken = torch.tensor(targets)
    return ImageSet(pixels, taken, listed.labels, left_out, place, tuple(origins))


def _origin(path: Path, encoded: bytes) -> Origin:
    digest = hashlib.blake2b(encoded, digest_size=16).digest()
    return Origin(str(path), decoding.size(encoded), digest)


def _place(splits: Mapping[Split, Path], folder: Path, split: Split) -> str:
    """Say from where a split is, for people; raises `DatasetError` if it is not there."""
    if split in splits and (split != "train" or "test" in splits):
        return str(splits[split])
    if split == "validation" or "train" not in splits:
        raise DatasetError(f"{folder} has no pictures for {split}; it has {', '.join(splits)}")
    share = folders.TEST_FRACTION if split == "test" else 1 - folders.TEST_FRACTION
    return f"{splits['train']} ({share:.0%} of each class)"


def scaled(pictures: Any, spec: InputSpec) -> Tensor:
    """uint8 arrays (N, H, W) or (N, H, W, C) as pictures of the network's input."""
    return torch.stack([spec.pixels(Image.fromarray(picture)) for picture in pictures])
