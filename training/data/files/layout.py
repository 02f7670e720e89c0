"""Layout of a folder of pictures: where the classes of each split are.

    folder → without the folders around it → splits by their names → the classes in each

Splits may have any of the usual names. They may lie around the classes or inside them, and there
may be superfluous folders around it all. An ambiguous layout raises an error that asks the user.
"""

import os
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from models.errors import FanlightError
from training.data import names
from training.data.files import picture_files, splits
from training.data.files.picture_files import (
    folders_in,
    has_pictures,
    holds_pictures,
    is_hidden,
    unread,
)
from training.data.files.splits import Split

_WRAPPERS = re.compile(r"(?:data|dataset|images?|imgs?|pictures|photos|archive|raw)s?")
_DEPTH = 3  # folders too much
_DATE = re.compile(r"(?:19|20)\d\d(?:[-_.]?\d\d){0,2}")
_NUMBERED = re.compile(r"([^\W\d][^.]*)\.\d+\.[^.]+")  # cat.0.jpg, as Kaggle's cats and dogs

Classes = Mapping[str, tuple[Path, ...]]
"""Label → the folders, or the files, that hold its pictures."""


class DatasetError(FanlightError):
    """The data set is not there, or not usable; the message says what to do."""


@dataclass(frozen=True)
class Layout:
    """The splits of a folder: `places` are their paths, for people, and `classes` their classes.

    `beside` are unused folders beside the splits, each with the reason. `notes` are sentences about
    what was decided.
    """

    places: Mapping[Split, Path]
    classes: Mapping[Split, Classes]
    beside: Mapping[Path, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def look(folder: Path) -> Layout:
    """Find the splits of a folder and their classes; raises `DatasetError` if it is ambiguous."""
    notes: list[str] = []
    root = unwrapped(folder, notes)
    children = folders_in(root)
    if (crossed := _crossed(root, children)) is not None:
        places, classes = crossed
        return Layout(places, classes, notes=(*notes, _IN_NAMES))
    named = _named(children)
    found: dict[Split, Path] = {}
    for each, split in named.items():
        if not folders_in(each) and not _by_names(each):
            continue
        if split in found:
            raise DatasetError(
                f"{root} has two folders for {split}, {found[split].name} and {each.name}: put the "
                "pictures of both into one, or move one away"
            )
        found[split] = unwrapped(each, notes)
    others = [each for each in children if each not in named]
    if "train" in found or (named and not others):
        beside = dict.fromkeys(others, "beside the splits")
        beside |= {each: "without classes" for each, split in named.items() if split not in found}
        flat = next((each for each, split in named.items() if split == "train"), None)
        if not found or (flat is not None and "train" not in found):  # pictures without classes
            found["train"] = flat or root
        but = frozenset(each.name for each in named)
        classes = {
            split: classes_in(place, but if place == root else frozenset(), notes)
            for split, place in found.items()
        }
        return Layout(found, classes, beside, tuple(notes))
    if (inside := _inside(root, children)) is not None:
        return Layout(*inside, notes=tuple(notes))
    return _of_classes(root, found, named, others, notes)


_IN_NAMES = "the names of the folders tell both class and split"


def _named(children: Sequence[Path]) -> dict[Path, Split]:
    """Return the folders whose names stand for splits.

    A name with further words, such as `cats-train`, counts if there are two splits or more, train
    among them, and the further words, or the folders inside, are the same. So `bullet-train` beside
    `bus` is a class.
    """
    read = {each: found for each in children if (found := splits.reading(each.name)) is not None}
    plain = {each: found.split for each, found in read.items() if not found.rest}
    every = {each: found.split for each, found in read.items()}
    if len(plain) == len(every) or ("train" in plain.values() and len({*plain.values()}) > 1):
        return plain
    if "train" not in every.values() or len({*every.values()}) < 2:
        return plain
    rests = {found.rest for found in read.values() if found.rest}
    return every if len(rests) == 1 or _alike([_inner(each) for each in every]) else plain


def _crossed(
    root: Path, children: Sequence[Path]
) -> tuple[dict[Split, Path], dict[Split, Classes]] | None:
    """Find folders named after class and split: cat_train, cat_test, dog_train, dog_test.

    Returns None if there are none. Raises `DatasetError` if only some folders have such names.
    """
    by_label: dict[str, dict[Split, Path]] = {}
    for each in children:
        found = splits.reading(each.name)
        if found is not None and found.rest:
            by_label.setdefault(found.label, {})[found.split] = each
    told = [place for places in by_label.values() for place in places.values()]
    example = next((places for places in by_label.values() if len(places) > 1), None)
    if len(by_label) < 2 or example is None or any(map(_inner, told)):
        return None
    odd = [each.name for each in children if each not in told]
    odd += [next(iter(own.values())).name for own in by_label.values() if "train" not in own]
    if odd:
        usual = names.some(each.name for each in example.values())
        raise DatasetError(
            f"{root}: {usual} are called after a class and a split, and beside them there is no "
            f"training folder for {names.some(odd)}: name all folders so, with one for train for "
            "each class, or put the classes into folders called train and test"
        )
    return _of_labels(root, by_label, lambda split: root / f"*{split}*")


def _inside(
    root: Path, children: Sequence[Path]
) -> tuple[dict[Split, Path], dict[Split, Classes]] | None:
    """Find splits inside of the classes: cat/train, cat/test, dog/train, dog/test.

    Returns None if there are none. Raises `DatasetError` if only some classes have splits.
    """
    if len(children) < 2:
        return None
    inner = {each: _inner(each) for each in children}
    named = {each: _named(within) for each, within in inner.items()}
    whole = [
        each
        for each, found in named.items()
        if "train" in found.values() and len(found) == len(inner[each]) == len({*found.values()})
    ]
    parted = [each for each, found in named.items() if len({*found.values()}) > 1]
    if len(whole) == len(children):
        by_label = {
            each.name: {split: place for place, split in named[each].items()} for each in children
        }
        return _of_labels(root, by_label, lambda split: root / "*" / split)
    if parted:
        odd = next((each for each in children if each not in whole), parted[0])
        usual, others = ([f.name for f in inner[each]] for each in (parted[0], odd))
        raise DatasetError(
            f"{root}: {parted[0].name} holds {names.some(usual)}, as splits inside of classes are "
            f"called, and {odd.name} holds {names.some(others) or 'none of them'}: put one folder "
            "for train, and one for each other split, into each class, or rename them if they are "
            "no splits"
        )
    return None


def _of_labels(
    root: Path, by_label: Mapping[str, Mapping[Split, Path]], place: Callable[[Split], Path]
) -> tuple[dict[Split, Path], dict[Split, Classes]]:
    places: dict[Split, Path] = {}
    classes: dict[Split, Classes] = {}
    for split in splits.SPLITS:
        found = {label: (own[split],) for label, own in by_label.items() if split in own}
        if found:
            places[split], classes[split] = place(split), dict(sorted(found.items()))
    return places, classes


def _of_classes(
    root: Path,
    found: dict[Split, Path],
    named: Mapping[Path, Split],
    others: Sequence[Path],
    notes: list[str],
) -> Layout:
    """Return the layout of a folder that holds the classes itself, and perhaps test and validation.

    Raises `DatasetError` for a folder that is named after a split but does not look like one.
    """
    labels = {each.name for each in others}
    places: dict[Split, Path] = {"train": root}
    for each, split in named.items():
        if split in found and {c.name for c in folders_in(found[split])} <= labels:
            places[split] = found[split]
        elif split != "train" and split not in found:
            raise DatasetError(
                f"{root} has classes, and beside them the folder {each.name}: if it is a class, "
                f"rename it; if it holds the pictures for {split}, put them into one folder a "
                "class in it, and the classes into train; else move it away"
            )
    but = frozenset(each.name for each, split in named.items() if split in found)
    classes = {
        split: classes_in(place, but if place == root else frozenset(), notes)
        for split, place in places.items()
    }
    return Layout(places, classes, notes=tuple(notes))


def classes_in(folder: Path, but: frozenset[str], notes: list[str]) -> Classes:
    """Find the classes in a folder: one for each subfolder, or by the names of the files.

    Subfolders named in `but` are skipped. Decisions are added to `notes`. Raises `DatasetError` if
    the subfolders may be something else than classes.
    """
    found = [each for each in folders_in(folder) if each.name not in but]
    if {each.name.casefold() for each in found} == {"images", "labels"}:
        raise DatasetError(
            f"{folder} has images and labels, as data sets for detection have: for classes, make "
            "one folder for each, with its pictures"
        )
    if not found and (by_names := _by_names(folder)):
        example = next(iter(by_names.values()))[0].name
        notes.append(f"{folder}: the classes are told by the names of the files, as {example}")
        return by_names
    inner = {each: [within.name for within in _inner(each)] for each in found}
    deep = {each: within for each, within in inner.items() if within}
    if len(deep) > 1 and _are_ambiguous(list(deep.values())):
        raise DatasetError(_ask(folder, deep))
    merged = [
        f"{each.name} ({names.some(within, 4)})" for each, within in deep.items() if len(within) > 1
    ]
    if merged:
        notes.append(
            f"{folder}: a class has the pictures of all folders inside of it: "
            f"{names.some(merged, 4)}"
        )
    return {each.name: (each,) for each in found}


def _ask(folder: Path, deep: Mapping[Path, Sequence[str]]) -> str:
    outer = names.some(each.name for each in deep)
    largest = max(deep.values(), key=lambda inside: len(inside))
    within, example = names.some(largest), largest[0]
    return (
        f"{folder} has the folders {outer}, with the same folders in them: {within}. Which are the "
        f"classes can't be told. If {outer} are splits, call them train, validation and test. If "
        f"they are parts or folds of one set, put all pictures of {example} into one folder "
        f"{example}, and so on. If they are the classes, move the pictures out of the folders in "
        "them"
    )


def _are_ambiguous(inner: Sequence[Sequence[str]]) -> bool:
    """Return whether all folders hold the same subfolders, which could be the classes (not
    dates)."""
    largest = {_key(name) for name in max(inner, key=len)}
    return len(largest) > 1 and _alike(inner) and not all(map(_DATE.fullmatch, largest))


def _alike(inner: Sequence[Sequence[str] | Sequence[Path]]) -> bool:
    """Return whether all lists share two names or more, or one list has all the names of the
    others."""
    sets = [{_key(each if isinstance(each, str) else each.name) for each in one} for one in inner]
    if not all(sets):
        return False
    return len(set.intersection(*sets)) > 1 or set.union(*sets) == max(sets, key=len)


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def unwrapped(folder: Path, notes: list[str]) -> Path:
    """Return the folder inside of superfluous ones: those that hold one folder and no pictures.

    At most three are skipped. A folder named after a split is entered from one of the same split
    only. Each step is added to `notes`.
    """
    for _ in range(_DEPTH):
        inner = folders_in(folder)
        if len(inner) != 1:
            return folder
        [only] = inner
        deeper = folders_in(only)
        if not deeper and not _by_names(only):
            return folder
        if deeper and all(_DATE.fullmatch(each.name) for each in deeper):
            return folder
        if splits.split_of(only.name) not in (None, splits.split_of(folder.name)):
            return folder
        if has_pictures(folder) or (has_pictures(only) and not _is_around(only, folder)):
            return folder
        notes.append(f"{folder} has one folder, {only.name}: what is in there is taken")
        folder = only
    return folder


def _is_around(folder: Path, outer: Path) -> bool:
    """Return whether a folder with pictures in it is no class, but superfluous.

    Its name, the splits in it, or the lack of subfolders show that.
    """
    return (
        folder.name.casefold() == outer.name.casefold()
        or _WRAPPERS.fullmatch(folder.name.casefold()) is not None
        or any(splits.split_of(each.name) == "train" for each in folders_in(folder))
        or not folders_in(folder)
    )


def _by_names(folder: Path) -> Classes:
    """Group the pictures in a folder by the first part of their names, such as `cat` of cat.0.jpg.

    Returns an empty mapping if a picture has another kind of name, if there is only one group, or
    if a group has a single picture.
    """
    found: dict[str, list[Path]] = {}
    with os.scandir(folder) as entries:
        names_in = sorted(
            entry.name for entry in entries if not is_hidden(entry.name) and not entry.is_dir()
        )
    for name in names_in:
        path = folder / name
        if path.suffix.lower() not in picture_files.SUFFIXES and unread(path) is not None:
            continue
        if (match := _NUMBERED.fullmatch(name)) is None:
            return {}
        found.setdefault(match[1], []).append(path)
    if len(found) < 2 or any(len(paths) < 2 for paths in found.values()):
        return {}
    return {label: tuple(paths) for label, paths in sorted(found.items())}


def _inner(folder: Path) -> list[Path]:
    """The folders in a folder that hold pictures."""
    return [each for each in folders_in(folder) if holds_pictures(each)]
