"""Folders of pictures, one folder a class: which files are for training and which for testing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from models.image_formats import FORMATS

Split = Literal["train", "test"]
TEST_FRACTION = 0.2  # of each class, where the folder has no test pictures of its own
_TEST_FOLDERS = ("test", "val", "valid", "validation")
_SPLIT_FOLDERS = ("train", *_TEST_FOLDERS)


@dataclass(frozen=True)
class Files:
    """The pictures of one split, by name: `targets` index `labels`."""

    paths: tuple[Path, ...]
    targets: tuple[int, ...]
    labels: tuple[str, ...]


def is_data_set(folder: Path) -> bool:
    """A folder of classes, or of `train` with classes in it."""
    return _has_classes(_train(folder))


def files(folder: Path, split: Split, seed: int) -> Files:
    """The pictures of `<folder>/{train,test}/<class>/`, or of `<folder>/<class>/`.

    In the second layout, and where test has no classes, a fifth of each class, chosen by the seed,
    is for testing. Files may lie
    deeper; those that are no pictures by their names, and hidden ones, are passed over.
    """
    own_test = next((folder / n for n in _TEST_FOLDERS if _has_classes(folder / n)), None)
    train = _train(folder)
    if train != folder and own_test is not None:
        return _listed(train if split == "train" else own_test)
    return _share(_listed(train), split, seed)


def _train(folder: Path) -> Path:
    """Where the classes are; beside other classes, one called train may be a class itself."""
    train = folder / "train"
    if _has_classes(train) or (train.is_dir() and not {*_classes(folder)} - {*_SPLIT_FOLDERS}):
        return train
    return folder


def _has_classes(folder: Path) -> bool:
    return folder.is_dir() and bool(_classes(folder))


def _classes(folder: Path) -> list[str]:
    return sorted(f.name for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))


def _listed(folder: Path) -> Files:
    suffixes = {ending for format in FORMATS for ending in format.extensions}
    labels = _classes(folder)
    found = [
        (path, target)
        for target, label in enumerate(labels)
        for path in sorted((folder / label).rglob("*"))
        if path.suffix.lower() in suffixes
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    paths, targets = (tuple(each) for each in zip(*found, strict=True)) if found else ((), ())
    return Files(paths, targets, tuple(labels))


def _share(all_files: Files, split: Split, seed: int) -> Files:
    """The split's part of the files: of each class the same, at random but by the seed."""
    generator = torch.Generator().manual_seed(seed)
    chosen: list[int] = []
    for target in range(len(all_files.labels)):
        members = [i for i, each in enumerate(all_files.targets) if each == target]
        order = [members[i] for i in torch.randperm(len(members), generator=generator).tolist()]
        count = max(round(len(members) * TEST_FRACTION), min(1, len(members) - 1))
        chosen += order[:count] if split == "test" else order[count:]
    return _picked(all_files, sorted(chosen))


def _picked(all_files: Files, indices: Sequence[int]) -> Files:
    return Files(
        tuple(all_files.paths[i] for i in indices),
        tuple(all_files.targets[i] for i in indices),
        all_files.labels,
    )
