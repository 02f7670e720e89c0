"""Folders of pictures, one folder a class: which files are for what, and which are left out.

    folder → `look`: which folders are training, validation and test → `files`: their pictures

Folders are as people have them: splits by any of the usual words, a folder too much around them,
what a system or a tool has put beside them. What is ambiguous is an error that asks.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

import torch

from models.errors import FanlightError
from models.image_formats import FORMATS, sniff

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
TEST_FRACTION = 0.2  # of each class, where the folder has no test pictures of its own
HIDDEN = "hidden, or of the system"
_WORDS: Mapping[Split, str] = {
    "train": "train|training",
    "validation": "val|valid|validation|dev",
    "test": "test|testing",
}
_AROUND = r"(?:seg|img|images?|data|dataset)?"  # seg_train, test_set, train images
_SPLIT_NAMES = {
    split: re.compile(f"{_AROUND}(?:{words}){_AROUND}(?:set)?") for split, words in _WORDS.items()
}
_WRAPPERS = re.compile(r"(?:data|dataset|images?|imgs?|pictures|photos|archive|raw)s?")
_OF_SYSTEMS = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "__pycache__"}
_DEPTH = 3  # folders too much
_HEAD = 64  # bytes that tell a format


class DatasetError(FanlightError):
    """The data set is not there, or not usable; the message says what to do."""


@dataclass(frozen=True)
class Files:
    """The pictures of one split, by name: `targets` index `labels`.

    `left_out` are files that are not taken, each with the reason.
    """

    paths: tuple[Path, ...]
    targets: tuple[int, ...]
    labels: tuple[str, ...]
    left_out: tuple[tuple[Path, str], ...] = ()


@dataclass(frozen=True)
class Layout:
    """Where the classes of each split are; `train` is always there.

    `but` are folders beside the classes that are no classes, by name. `beside` are folders beside
    the splits, which nothing is taken from, each with the reason.
    """

    splits: Mapping[Split, Path]
    but: frozenset[str] = frozenset()
    beside: Mapping[Path, str] = field(default_factory=dict)


def is_data_set(folder: Path) -> bool:
    """A folder of classes, or of `train` with classes in it."""
    try:
        layout = look(folder)
        return bool(_classes(layout.splits["train"], layout.but))
    except OSError:
        return False
    except DatasetError:  # it is one, and what is wrong with it is said when it is read
        return True


def look(folder: Path) -> Layout:
    """Find the splits of a folder; raises `DatasetError` where it can't be told what is meant."""
    root = _unwrapped(folder)
    named = {each: split for each in _folders(root) if (split := split_of(each.name))}
    found: dict[Split, Path] = {}
    for each, split in named.items():
        if not _folders(each):
            continue
        if split in found:
            raise DatasetError(
                f"{root} has two folders for {split}, {found[split].name} and {each.name}: put the "
                "pictures of both into one, or move one away"
            )
        found[split] = _unwrapped(each)
    others = [each for each in _folders(root) if each not in named]
    if "train" in found or (named and not others):
        return _of_splits(root, found, named, others)
    return _of_classes(root, found, named, others)


def split_of(name: str) -> Split | None:
    """The split that a folder's name stands for, in any of the usual words."""
    word = re.sub(r"[-_ .]", "", name.casefold())
    return next((split for split in SPLITS if _SPLIT_NAMES[split].fullmatch(word)), None)


def _of_splits(
    root: Path, found: dict[Split, Path], named: Mapping[Path, Split], others: list[Path]
) -> Layout:
    beside = dict.fromkeys(others, "beside the splits")
    beside |= {each: "without classes" for each, split in named.items() if split not in found}
    if "train" not in found:
        found = {"train": next((e for e, s in named.items() if s == "train"), root), **found}
    return Layout(found, beside=beside)


def _of_classes(
    root: Path, found: dict[Split, Path], named: Mapping[Path, Split], others: list[Path]
) -> Layout:
    """The classes lie in the folder itself; test and validation may lie among them."""
    classes = {each.name for each in others}
    splits: dict[Split, Path] = {"train": root}
    for each, split in named.items():
        if split in found and {c.name for c in _folders(found[split])} <= classes:
            splits[split] = found[split]
        elif split != "train" and split not in found:
            raise DatasetError(
                f"{root} has classes, and beside them the folder {each.name}: if it is a class, "
                f"rename it; if it holds the pictures for {split}, put them into one folder a "
                "class in it, and the classes into train; else move it away"
            )
    return Layout(
        splits, but=frozenset(e.name for e, s in named.items() if s in splits and s != "train")
    )


def files(folder: Path, split: Split, seed: int) -> Files:
    """The pictures of one split of a folder; no pictures where it has no such split.

    Where test has no folder of its own, a fifth of each class of train, chosen by the seed, is for
    testing. Files may lie deeper. The format is told by the bytes where the name doesn't tell it.
    """
    layout = look(folder)
    train = layout.splits["train"]
    if split != "train" and split in layout.splits:
        return _listed(layout.splits[split], frozenset())
    if split == "validation":
        return Files((), (), tuple(_classes(train, layout.but)))
    found = _listed(train, layout.but)
    beside = tuple(_beside(folder, layout)) if split == "train" else ()
    found = replace(found, left_out=found.left_out + beside)
    return found if "test" in layout.splits else share(found, split, seed)


def _beside(folder: Path, layout: Layout) -> Iterator[tuple[Path, str]]:
    """The files of a data set that lie in none of its splits, each with the reason."""
    splits = layout.splits.values()
    for path in _walk(folder, set()):
        if any(path.is_relative_to(split) for split in splits):
            continue
        if any(map(_is_hidden, path.relative_to(folder).parts)):
            yield path, HIDDEN
        else:
            reasons = (why for each, why in layout.beside.items() if path.is_relative_to(each))
            yield path, next(reasons, "beside the splits")


def _unwrapped(folder: Path) -> Path:
    """Inside the folders too much: those that stand alone, and are called like the one around them,
    or by a word such as data, or hold the splits."""
    for _ in range(_DEPTH):
        inner = _folders(folder)
        if len(inner) != 1 or not _folders(inner[0]):
            return folder
        [only] = inner
        if split_of(only.name) == "train" != split_of(folder.name):
            return folder
        is_wrapper = (
            only.name.casefold() == folder.name.casefold()
            or (split_of(only.name) is not None and split_of(only.name) == split_of(folder.name))
            or _WRAPPERS.fullmatch(only.name.casefold())
            or any(split_of(each.name) == "train" for each in _folders(only))
        )
        if not is_wrapper:
            return folder
        folder = only
    return folder


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder, sorted, but for those that are hidden or of a system."""
    return sorted(f for f in folder.iterdir() if f.is_dir() and not _is_hidden(f.name))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _OF_SYSTEMS


def _classes(folder: Path, but: frozenset[str]) -> list[str]:
    names = [each.name for each in _folders(folder) if each.name not in but]
    if {name.casefold() for name in names} == {"images", "labels"}:
        raise DatasetError(
            f"{folder} has images and labels, as data sets for detection have: for classes, make "
            "one folder for each, with its pictures"
        )
    return names


def _walk(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """Yield every file in a folder and in the folders in it, links followed.

    A folder that is in `seen` is not entered again, so that links in a circle come to an end.
    """
    place = folder.resolve()
    if place in seen:
        return
    seen.add(place)
    for each in sorted(folder.iterdir()):
        if each.is_dir():
            yield from _walk(each, seen)
        else:
            yield each


def _listed(folder: Path, but: frozenset[str]) -> Files:
    labels = _classes(folder, but)
    found: list[tuple[Path, int]] = []
    left_out = [
        (path, HIDDEN if _is_hidden(path.name) else "in no class")
        for path in sorted(folder.iterdir())
        if not path.is_dir()
    ]
    left_out += [
        (path, HIDDEN)
        for each in sorted(folder.iterdir())
        if each.is_dir() and _is_hidden(each.name)
        for path in _walk(each, set())
    ]
    for target, label in enumerate(labels):
        for path in sorted(_walk(folder / label, set())):
            if any(map(_is_hidden, path.relative_to(folder).parts)):
                left_out.append((path, HIDDEN))
            elif (reason := unread(path)) is not None:
                left_out.append((path, reason))
            else:
                found.append((path, target))
    paths, targets = (tuple(each) for each in zip(*found, strict=True)) if found else ((), ())
    return Files(paths, targets, tuple(labels), tuple(left_out))


_SUFFIXES = {ending for format in FORMATS for ending in format.extensions}


def unread(path: Path) -> str | None:
    """Why a file is not read as a picture; None if it is."""
    if not path.exists():
        return "a link to nothing"
    if not path.is_file():
        return "no file, but a pipe or a device"
    if path.suffix.lower() in _SUFFIXES:
        return None
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        return f"it can't be read: {error.strerror}"
    if sniff(head) is not None:
        return None
    return f"{path.suffix.lower() or 'a file without an ending'} is no image format that is read"


def share(all_files: Files, split: Split, seed: int) -> Files:
    """The part of the files that is for train or test: of each class the same, by the seed."""
    generator = torch.Generator().manual_seed(seed)
    chosen: list[int] = []
    for target in range(len(all_files.labels)):
        members = [i for i, each in enumerate(all_files.targets) if each == target]
        order = [members[i] for i in torch.randperm(len(members), generator=generator).tolist()]
        count = max(round(len(members) * TEST_FRACTION), min(1, len(members) - 1))
        chosen += order[:count] if split == "test" else order[count:]
    return _picked(all_files, sorted(chosen), all_files.left_out if split == "train" else ())


def _picked(
    all_files: Files, indices: Sequence[int], left_out: tuple[tuple[Path, str], ...]
) -> Files:
    return Files(
        tuple(all_files.paths[i] for i in indices),
        tuple(all_files.targets[i] for i in indices),
        all_files.labels,
        left_out,
    )
