"""Data sets: files → uint8 pixels (N, C, H, W), targets (N,) and labels.

A data set is an image folder, an archive of one, or a table, given by its path or its name under
the data root (`training/data/files/sources.py`). Or it is a registered one
(`training/data/registry.py`), which is drawn, or downloaded to the root if it is not there. Several
data sets joined by " + " are one. Every picture goes through `InputSpec.pixels`, as in the service.
Pixels are in memory, or in a file if they are too many (`training/data/storage.py`).
"""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models.images import decoding
from models.preprocessing import ImageError, InputSpec, read
from training.data import names, storage
from training.data.files import folders, refusals, sources
from training.data.files.folders import Files
from training.data.files.layout import DatasetError as DatasetError
from training.data.files.sources import JOIN, parts
from training.data.files.splits import Split
from training.data.progress import tracked
from training.data.registry import DATASETS, DatasetEntry
from training.data.storage import Pixels, Storage

_BOTH: tuple[Split, Split] = ("train", "test")
_REASONS = 3  # that files are not read


class Origin(NamedTuple):
    """The source of a picture.

    `name` is the path of its file, or the data set, split and index of a picture without a file.
    `size` (width, height) in pixels and `digest`, a checksum of the bytes, describe the file. If
    the picture is a version of another one, such as its inverse, `version_of` is the name of that
    picture.
    """

    name: str
    size: tuple[int, int] | None = None
    digest: bytes | None = None
    version_of: str | None = None


@dataclass(frozen=True)
class ImageSet:
    """Pictures with classes: `images` uint8 (N, C, H, W), `targets` int64 (N,) that index `labels`.

    `images` are a tensor, or `FilePixels` in a file: then indexing and `split` read them.
    `left_out` are files that are not used, each with the reason. `place` says, for people, where
    the pictures come from, or is None. `origins` has an entry for each picture, or is empty.
    `notes` are sentences for people about what was decided about the files.
    """

    images: Pixels
    targets: Tensor
    labels: tuple[str, ...]
    left_out: tuple[tuple[Path, str], ...] = ()
    place: str | None = None
    origins: tuple[Origin, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def in_memory(self) -> Tensor:
        """All pixels as one tensor; they are read if they are in a file."""
        return storage.in_memory(self.images)

    def to(self, device: torch.device) -> Self:
        return replace(self, images=self.images.to(device), targets=self.targets.to(device))

    def mirrored(self) -> Self:
        """Return the same pictures mirrored left to right."""
        return replace(self, images=storage.mirrored(self.images))

    def subset(self, indices: Tensor) -> Self:
        return replace(
            self,
            images=storage.some(self.images, indices),
            targets=self.targets[indices],
            origins=tuple(self.origins[i] for i in indices.tolist()) if self.origins else (),
        )

    def origin(self, index: int) -> Origin:
        return self.origins[index] if self.origins else Origin(f"no. {index}")

    def name(self, index: int) -> str:
        """The path of a picture's file, or its data set, split and index."""
        return self.origin(index).name

    def versions(self) -> Tensor:
        """Return a number for each picture, int64 (N,), that all versions of a picture share.

        A picture and its inverse are versions, and so are pictures with the same file. The numbers
        count from 0 in the order of the pictures.
        """
        numbers: dict[str, int] = {}
        names = [each.version_of or each.name for each in self.origins] or range(len(self))
        return torch.tensor([numbers.setdefault(str(name), len(numbers)) for name in names]).long()

    def hold_out(self, fraction: float, generator: torch.Generator) -> tuple[Self, Self]:
        """Split into (rest, held out) at random, with the same fraction of every class.

        A picture and its versions, such as the inverted one, always come to the same part: what is
        held out was not seen in training in any form.
        """
        versions = self.versions()
        firsts = torch.from_numpy(np.unique(versions, return_index=True)[1])
        held = torch.zeros(len(firsts), dtype=torch.bool)
        for target in range(len(self.labels)):
            members = (self.targets[firsts] == target).nonzero().flatten()
            order = torch.randperm(len(members), generator=generator)
            held[members[order[: round(len(members) * fraction)]]] = True
        held_out = held[versions]
        return self.subset((~held_out).nonzero().flatten()), self.subset(
            held_out.nonzero().flatten()
        )

    def followed_by(self, others: Self) -> Self:
        """Return these pictures followed by the others, which have the same labels and notes."""
        return replace(
            self,
            images=storage.joined([self.images, others.images]),
            targets=torch.cat([self.targets, others.targets]),
            left_out=tuple(dict.fromkeys((*self.left_out, *others.left_out))),
            origins=(*self.origins, *others.origins),
        )

    def joined(self, others: Self) -> Self:
        """Return these pictures followed by the others, whose classes are added as further ones.

        The result has no `origins`.
        """
        return replace(
            self,
            images=storage.joined([self.images, others.images]),
            targets=torch.cat([self.targets, others.targets + len(self.labels)]),
            labels=(*self.labels, *others.labels),
            left_out=(*self.left_out, *others.left_out),
            place=JOIN.join(each.place for each in (self, others) if each.place) or None,
            origins=(),
            notes=(*self.notes, *others.notes),
        )

    def relabel(self, labels: tuple[str, ...]) -> Self:
        """The same images, with targets that index the given labels.

        Raises `DatasetError` if the data set has a label that is not among them.
        """
        if unknown := sorted(set(self.labels) - set(labels)):
            raise DatasetError(
                f"the data set has the labels {names.some(unknown)}, "
                f"which the model doesn't: it has {names.some(labels)}"
            )
        order = torch.tensor([labels.index(label) for label in self.labels])
        return replace(self, targets=order[self.targets], labels=labels)


def load(
    name: str,
    split: Split,
    root: Path,
    spec: InputSpec,
    seed: int = 0,
    place: Storage | None = None,
) -> ImageSet:
    """Read one split of a data set, scaled to the network's input.

    `seed` decides the split of folders that have none, and `place` where the pixels are kept, by
    default in memory. Raises `DatasetError` if the data set is neither there nor can be downloaded,
    or has a class without pictures.
    """
    place = place or Storage()
    sets = [_load(part, split, root, spec, seed, place) for part in parts(name, root)]
    if len(sets) == 1:
        return sets[0]
    labels = sets[0].labels
    for each in sets[1:]:
        check_labels(each, sets[0])
    sets = [each.relabel(labels) for each in sets]
    return ImageSet(
        storage.joined([each.images for each in sets]),
        torch.cat([each.targets for each in sets]),
        labels,
        tuple(pair for each in sets for pair in each.left_out),
        JOIN.join(each.place or "" for each in sets),
        tuple(origin for each in sets for origin in each.origins),
        tuple(note for each in sets for note in each.notes),
    )


def load_all(
    name: str, root: Path, spec: InputSpec, seed: int = 0, place: Storage | None = None
) -> dict[str, ImageSet]:
    """Load train, test and, if the data set has it, validation, all with the labels of train.

    Raises `DatasetError`, also if two labels look the same (`check_apart`).
    """
    train, test = (load(name, split, root, spec, seed, place) for split in _BOTH)
    check_apart(train)
    validation = load_validation(name, root, spec, place)
    splits = {"validation": validation, "test": test}
    found = {"train": train}
    for split, images in splits.items():
        if images is not None:
            check_labels(images, train)
            found[split] = images.relabel(train.labels)
    return found


def check_apart(images: ImageSet) -> None:
    """Raise `DatasetError` if labels differ only in case, spaces or hyphens, such as Cat and cat.

    Labels of a single letter, such as a and A, may differ in case only.
    """
    seen: dict[str, str] = {}
    for label in images.labels:
        other = seen.setdefault(_key(label), label)
        if other != label and len(_key(label)) > 1:
            raise DatasetError(
                f"{images.place} has the classes {other!a} and {label!a}, which people take for "
                "one: give their pictures one name, or rename one so that it can't be mistaken"
            )


def check_labels(images: ImageSet, train: ImageSet) -> None:
    """Raise `DatasetError` if the pictures have classes that those for training lack."""
    if not (unknown := sorted(set(images.labels) - set(train.labels))):
        return
    like = {_key(label): label for label in train.labels}
    pairs = [(label, like[_key(label)]) for label in unknown if _key(label) in like]
    if pairs:
        odd, usual = pairs[0]
        more = f", and {len(pairs) - 1:,} more in the same way" if len(pairs) > 1 else ""
        way = f"rename {odd!a} in {images.place} to {usual!a}{more}"
        if odd.casefold() != usual.casefold():
            way = f"{odd} is written in two ways that look the same: {way}"
    else:
        way = "give a class the same name in both, or move away what isn't one"
    raise DatasetError(
        f"{images.place} has classes that {train.place} has not: {names.some(unknown)}; "
        f"{train.place} has {names.some(train.labels)}: {way}"
    )


def _key(label: str) -> str:
    """Return a form of a label that is the same for labels which people would take for one.

    Unicode form, case, spaces, underscores and hyphens make no difference.
    """
    return " ".join(re.split(r"[\s_-]+", unicodedata.normalize("NFKC", label).casefold().strip()))


def load_validation(
    name: str, root: Path, spec: InputSpec, place: Storage | None = None
) -> ImageSet | None:
    """Load the validation split of a data set; return None if it has none."""
    for part in parts(name):
        source = sources.source_of(part, root)
        if source is None or "validation" not in sources.splits_of(source):
            return None
    return load(name, "validation", root, spec, place=place)


def _load(
    name: str, split: Split, root: Path, spec: InputSpec, seed: int, place: Storage
) -> ImageSet:
    source = sources.source_of(name, root)
    if source is not None:
        found = _pictures(source, split, spec, seed, place)
        return replace(found, notes=(*sources.note(name, source), *found.notes))
    if name not in DATASETS:
        raise sources.missing(name, root)
    if split == "validation":
        raise DatasetError(f"{name} has no pictures for validation; take train or test")
    try:
        entry = DATASETS.get(name)
        images = entry.load(split == "train", root, spec)
        origins = tuple(_registered(entry, split, i) for i in range(len(images)))
    except (OSError, RuntimeError) as error:
        raise DatasetError(
            f"{name} is not under {root} and could not be downloaded "
            f"({' '.join(str(error).split())}); connect to the network, or give the folder that "
            "holds it as --data-root"
        ) from error
    pixels, notes = place.keep(images.in_memory, f"{name} ({split})")
    notes = (*images.notes, *notes)
    return replace(images, images=pixels, place=name, origins=origins, notes=notes)


def _pictures(folder: Path, split: Split, spec: InputSpec, seed: int, where: Storage) -> ImageSet:
    place = _place(sources.splits_of(folder), folder, split)
    listed = sources.files_of(folder, split, seed)
    if not listed.labels or (len(listed.labels) == 1 and not listed.paths and split == "train"):
        raise DatasetError(refusals.of_folder(folder, str(folder)))
    if split == "train" and len(listed.labels) < 2:
        raise DatasetError(
            f"{folder} has one class, {listed.labels[0]}, and a classifier needs two: each class "
            f"is a folder of its own; give {folder / listed.labels[0]} if the classes are in there"
        )
    targets, origins, broken = [], [], []
    draft = where.draft(len(listed.paths), spec.shape, f"{folder} ({split})")
    pairs = list(zip(listed.paths, listed.targets, strict=True))
    for path, target in tracked(pairs, f"reading {folder} ({split})", least=1000):
        try:
            encoded = path.read_bytes()
            picture, origin = read(encoded, spec), _origin(path, encoded)
        except ImageError as error:
            broken.append((path, f"broken: {error}"))
        except OSError as error:  # it was there when the folder was listed
            broken.append((path, f"it can't be read: {error.strerror}"))
        else:
            draft.add(picture)
            targets.append(target)
            origins.append(origin)
    empty = sorted(set(listed.labels) - {listed.labels[target] for target in targets})
    if not targets or (empty and split == "train"):
        raise DatasetError(_without_pictures(folder, split, empty, listed, broken))
    left_out = (*listed.left_out, *broken)
    taken = torch.tensor(targets)
    notes = (*listed.notes, *draft.notes)
    return ImageSet(draft.pixels(), taken, listed.labels, left_out, place, tuple(origins), notes)


def _without_pictures(
    folder: Path, split: Split, empty: list[str], listed: Files, broken: list[tuple[Path, str]]
) -> str:
    """Return an error message: which classes have no picture, and why files are not used."""
    text = f"{folder} has no pictures ({split}) of {names.some(empty)}"
    way = "add some, or remove the folder" + ("s" if len(empty) > 1 else "")
    inside = [
        (path, reason)
        for path, reason in (*broken, *listed.left_out)
        if reason != folders.HIDDEN and not {*path.parts}.isdisjoint(empty)
    ] or broken
    if not inside:
        return f"{text}: {way}"
    counts = Counter(reason for _, reason in inside).most_common(_REASONS)
    reasons = "; ".join(f"{reason} ({count:,})" for reason, count in counts)
    return f"{text}; {len(inside):,} files could not be read: {reasons}: {way}"


def _registered(entry: DatasetEntry, split: Split, number: int) -> Origin:
    place = f"{split} no. {number}"
    version_of = None if entry.version_of is None else f"{entry.version_of} {place}"
    return Origin(f"{entry.name} {place}", version_of=version_of)


def _origin(path: Path, encoded: bytes) -> Origin:
    digest = hashlib.blake2b(encoded, digest_size=16).digest()
    return Origin(str(path), decoding.size(encoded), digest)


def _place(splits: Mapping[Split, Path], folder: Path, split: Split) -> str:
    """Return, for people, where a split's pictures are; raises `DatasetError` if there is no such
    split."""
    if split in splits and (split != "train" or "test" in splits):
        return str(splits[split])
    if split == "validation" or "train" not in splits:
        raise DatasetError(f"{folder} has no pictures for {split}; it has {', '.join(splits)}")
    share = folders.TEST_FRACTION if split == "test" else 1 - folders.TEST_FRACTION
    return f"{splits['train']} ({share:.0%} of each class)"


def scaled(pictures: Any, spec: InputSpec) -> Tensor:
    """Convert uint8 arrays (N, H, W) or (N, H, W, C) to pixels of the network's input, (N, C, H,
    W)."""
    return torch.stack([spec.pixels(Image.fromarray(picture)) for picture in pictures])
