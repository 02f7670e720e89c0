"""Folders of pictures, one folder a class: which files are for what, and which are left out.

folder → `layout.look`: where the classes of each split are → `files`: their pictures
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from training.data.files import layout, picture_files
from training.data.files.layout import Classes, DatasetError, Layout
from training.data.files.splits import Split

TEST_FRACTION = 0.2  # of each class, where the folder has no test pictures of its own
HIDDEN = "hidden, or of the system"


@dataclass(frozen=True)
class Files:
    """The files of one split: `paths` of its pictures, and `targets` that index `labels`.

    `left_out` are files that are not used, each with the reason. `notes` are sentences about what
    was decided.
    """

    paths: tuple[Path, ...]
    targets: tuple[int, ...]
    labels: tuple[str, ...]
    left_out: tuple[tuple[Path, str], ...] = ()
    notes: tuple[str, ...] = ()


def is_data_set(folder: Path) -> bool:
    """Return whether a folder holds classes, or splits with classes in them.

    This is also True for an ambiguous folder; reading it raises the error.
    """
    try:
        classes = layout.look(folder).classes
        return bool(classes.get("train", classes))
    except OSError:
        return False
    except DatasetError:  # it is one, and what is wrong with it is said when it is read
        return True


def splits(folder: Path) -> Mapping[Split, Path]:
    """Return the splits of a folder, each with the path of its pictures; raises `DatasetError`."""
    return layout.look(folder).places


def files(folder: Path, split: Split, seed: int) -> Files:
    """List the pictures of one split; raises `DatasetError` if the folder's layout is ambiguous.

    Without a test folder, a fifth of each class is for testing, chosen by `seed`: the number is
    rounded, and at least one if the class has two pictures. A validation folder is never used for
    testing. Pictures may lie in subfolders of a class. If the file extension is not that of a
    picture, the first bytes decide.
    """
    found = layout.look(folder)
    source = split if split in found.classes else "train"
    classes = found.classes.get(source, {})
    if source not in found.classes or (split == "validation" and source == "train"):
        return Files((), (), tuple(classes), notes=found.notes)
    listed = _listed(classes)
    beside = tuple(_beside(folder, found, source))
    listed = replace(listed, left_out=listed.left_out + beside, notes=found.notes)
    is_whole = split == source and (split != "train" or "test" in found.classes)
    return listed if is_whole else share(listed, split, seed)


def pictures(folder: Path) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Every picture in a folder, however deep, and the other files, each with the reason."""
    found: list[Path] = []
    left_out: list[tuple[Path, str]] = []
    for path in picture_files.walk(folder, set()):
        if any(map(picture_files.is_hidden, path.relative_to(folder).parts)):
            left_out.append((path, HIDDEN))
        elif (reason := picture_files.unread(path)) is not None:
            left_out.append((path, reason))
        else:
            found.append(path)
    return found, left_out


def _beside(folder: Path, found: Layout, split: Split) -> Iterator[tuple[Path, str]]:
    """Yield the files of a split that lie in no class, each with the reason.

    Files that lie in no split are yielded with train, or with the first split if there is no train.
    """
    classes = (own for labels in found.classes.values() for own in labels.values())
    places = [place for own in classes for place in own]
    first: Split = "train" if "train" in found.places else next(iter(found.places))
    for path in picture_files.walk(folder, set(), frozenset(places)):
        holding = [s for s, place in found.places.items() if path.is_relative_to(place)]
        owner = max(holding, key=lambda s: len(found.places[s].parts), default=first)
        if owner != split:
            continue
        if any(map(picture_files.is_hidden, path.relative_to(folder).parts)):
            yield path, HIDDEN
            continue
        reasons = (why for each, why in found.beside.items() if path.is_relative_to(each))
        yield path, next(reasons, "in no class" if holding else "beside the splits")


def _listed(classes: Classes) -> Files:
    found: list[tuple[Path, int]] = []
    left_out: list[tuple[Path, str]] = []
    for target, places in enumerate(classes.values()):
        for place in places:
            for path in sorted(picture_files.walk(place, set())):
                if any(map(picture_files.is_hidden, path.relative_to(place).parts)):
                    left_out.append((path, HIDDEN))
                elif (reason := picture_files.unread(path)) is not None:
                    left_out.append((path, reason))
                else:
                    found.append((path, target))
    paths, targets = (tuple(each) for each in zip(*found, strict=True)) if found else ((), ())
    return Files(paths, targets, tuple(classes), tuple(left_out))


def share(all_files: Files, split: Split, seed: int) -> Files:
    """Return the files for train or for test: the same fraction of each class, chosen by `seed`."""
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
    return replace(
        all_files,
        paths=tuple(all_files.paths[i] for i in indices),
        targets=tuple(all_files.targets[i] for i in indices),
        left_out=left_out,
    )
