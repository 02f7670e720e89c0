"""What is odd about the pictures of a data set: splits → findings, each with its pictures.

Nothing is changed or left out because of a finding: the data are their owner's to change.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from training.data import storage
from training.data.datasets import ImageSet
from training.data.storage import Pixels
from training.review import copies

LOOKED_FOR = (
    "Near copies are looked for among the pictures as the network sees them: saved again, "
    "rescaled, grey, darker or brighter; among photographs also mirrored, or turned by 90, 180 or "
    "270 degrees. "
    "Copies that were squashed, or cropped by more than a few percent, are not found."
)
FEW = 10  # training pictures of a class; with fewer, no figure about it means much
_ONE_COLOUR = 8  # levels of 255 between the darkest and the brightest pixel
_ENLARGED = 2.0  # times, from which on a picture is too small
_ELONGATED = 4.0  # longer side to shorter
_BATCH = 256


class Place(NamedTuple):
    """A picture, by its split and its number there."""

    split: str
    number: int


@dataclass(frozen=True)
class Kind:
    """A kind of finding; `advice` says what the owner of the data can do.

    A kind with `pairs` is about pictures that are alike.
    """

    name: str
    title: str
    advice: str
    pairs: bool = False


TWO_CLASSES = Kind(
    "two-classes",
    "the same picture in two classes",
    "one of the labels is wrong: keep the picture in one class",
    pairs=True,
)
IN_TEST = Kind(
    "in-test",
    "the same picture in train and outside of it",
    "what is measured on it counts too high: take it out of train",
    pairs=True,
)
COPY = Kind(
    "copy", "the same picture several times", "it counts several times: keep one", pairs=True
)
NEAR_TWO_CLASSES = Kind(
    "near-two-classes",
    "almost the same picture in two classes",
    "one of the labels may be wrong: compare them",
    pairs=True,
)
NEAR_IN_TEST = Kind(
    "near-in-test",
    "almost the same picture in train and outside of it",
    "what is measured on it counts too high: take it out of train",
    pairs=True,
)
NEAR_COPY = Kind(
    "near-copy",
    "almost the same picture several times",
    "it counts several times: keep one",
    pairs=True,
)
BLANK = Kind("blank", "of one colour", "there is nothing to learn from it: remove it")
TINY = Kind(
    "tiny",
    "far smaller than what the network takes",
    "it is enlarged, and blurred: find a larger one, or lower --size",
)
ELONGATED = Kind(
    "elongated",
    "very long or very high",
    "the network sees its middle, or all of it squeezed: crop it to what matters",
)
UNREADABLE = Kind("unreadable", "unreadable", "it is left out: save it anew, or remove it")
FEW_PICTURES = Kind(
    "few-pictures",
    f"classes with fewer than {FEW} training pictures",
    "no figure about such a class means much: add some",
)
KINDS = (
    *(TWO_CLASSES, IN_TEST, COPY, NEAR_TWO_CLASSES, NEAR_IN_TEST, NEAR_COPY),
    *(BLANK, TINY, ELONGATED, UNREADABLE, FEW_PICTURES),
)


@dataclass(frozen=True)
class Finding:
    """One thing that is odd about a data set.

    `pictures` are those that it concerns: all pictures of a group of copies, or a single one. There
    are none if it concerns a class, or a file that could not be read. `about` then names that.
    """

    kind: Kind
    pictures: tuple[Place, ...] = ()
    about: str = ""


def find(splits: Mapping[str, ImageSet]) -> list[Finding]:
    """Find what is odd about a data set; the findings are in the order of `KINDS`.

    The splits have the same labels in the same order, and pictures of one size.
    """
    places = [Place(name, i) for name, images in splits.items() for i in range(len(images))]
    blank = {p for name, images in splits.items() for p in _places(name, _one_colour(images))}
    found = [
        *_alike(splits, places, blank),
        *(Finding(BLANK, (place,)) for place in places if place in blank),
        *(each for name, images in splits.items() for each in _shapes(name, images)),
        *_unreadable(splits),
        *_small_classes(splits),
    ]
    return sorted(found, key=lambda each: KINDS.index(each.kind))


def of(kind: Kind, findings: Sequence[Finding]) -> list[Finding]:
    return [each for each in findings if each.kind == kind]


def seen_in_train(findings: Sequence[Finding], split: str) -> list[int]:
    """The indices of the pictures of a split that are in train too, or nearly."""
    alike = [*of(IN_TEST, findings), *of(NEAR_IN_TEST, findings)]
    return sorted({p.number for each in alike for p in each.pictures if p.split == split})


def _places(split: str, indices: Tensor) -> Iterator[Place]:
    return (Place(split, i) for i in indices.tolist())


def _one_colour(images: ImageSet) -> Tensor:
    """The indices of pictures whose every channel has one level, or nearly."""
    found = []
    for batch in images.images.split(_BATCH):
        flat = batch.flatten(2)  # (N, C, H * W)
        levels = flat.amax(2).int() - flat.amin(2).int()
        found.append(levels.amax(1) <= _ONE_COLOUR)
    return torch.cat(found).nonzero().flatten()


def _alike(
    splits: Mapping[str, ImageSet], places: Sequence[Place], blank: set[Place]
) -> Iterator[Finding]:
    """Yield findings about copies, then about near copies; a group of copies then counts once."""
    candidates = [place for place in places if place not in blank]
    groups = _grouped(splits, candidates, copies.exact)
    yield from _sorted_out(splits, groups, (TWO_CLASSES, IN_TEST, COPY))
    if not compares_near(splits):
        return
    again = {place for group in groups for place in group[1:]}
    whole = {group[0]: group for group in groups}
    once = [place for place in candidates if place not in again]
    near = [
        [place for one in group for place in whole.get(one, (one,))]
        for group in _grouped(splits, once, copies.near)
    ]
    yield from _sorted_out(splits, near, (NEAR_TWO_CLASSES, NEAR_IN_TEST, NEAR_COPY))


def compares_near(splits: Mapping[str, ImageSet]) -> bool:
    """Return whether near copies are looked for.

    They are not if the pixels are in a file (`FilePixels`) and there are more pictures than can be
    compared in memory.
    """
    most = storage.most_compared(images.images for images in splits.values())
    return most is None or sum(map(len, splits.values())) <= most


def _grouped(
    splits: Mapping[str, ImageSet],
    places: Sequence[Place],
    search: Callable[[Pixels], list[list[int]]],
) -> list[list[Place]]:
    parts = [
        storage.some(images.images, [place.number for place in places if place.split == name])
        for name, images in splits.items()
    ]
    pixels = storage.joined(parts).to(torch.device("cpu"))
    return [[places[i] for i in group] for group in search(pixels)]


def _sorted_out(
    splits: Mapping[str, ImageSet], groups: Sequence[Sequence[Place]], kinds: tuple[Kind, ...]
) -> Iterator[Finding]:
    """Yield the findings about groups of pictures that are alike, of three `kinds`.

    The first kind is for a group with several labels, the second for a group in train and another
    split. A group may be both. The third kind is for a group that is neither.
    """
    two_classes, in_test, copy = kinds
    for group in groups:
        targets = {int(splits[place.split].targets[place.number]) for place in group}
        names = {place.split for place in group}
        about = _same_file(splits, group) if kinds[0] == TWO_CLASSES else ""
        both = "train" in names and len(names) > 1
        if len(targets) > 1:
            yield Finding(two_classes, tuple(group), about)
        if both:
            yield Finding(in_test, tuple(group), about)
        if len(targets) == 1 and not both:
            yield Finding(copy, tuple(group), about)


def _same_file(splits: Mapping[str, ImageSet], group: Sequence[Place]) -> str:
    digests = {splits[place.split].origin(place.number).digest for place in group}
    if digests == {None}:
        return ""
    return "the files are equal" if len(digests) == 1 else "the files differ, their pixels don't"


def _shapes(split: str, images: ImageSet) -> Iterator[Finding]:
    least = min(images.images.shape[2:]) / _ENLARGED
    for index in range(len(images)):
        size = images.origin(index).size
        if size is None:
            continue
        about = f"{size[0]} × {size[1]} pixels"
        if min(size) < least:
            yield Finding(TINY, (Place(split, index),), about)
        if max(size) > _ELONGATED * min(size):
            yield Finding(ELONGATED, (Place(split, index),), about)


def _unreadable(splits: Mapping[str, ImageSet]) -> Iterator[Finding]:
    left_out = dict(pair for images in splits.values() for pair in images.left_out)
    for path, reason in left_out.items():
        if reason.startswith(("broken", "it can't be read")):
            yield Finding(UNREADABLE, about=f"{path}: {reason}")


def _small_classes(splits: Mapping[str, ImageSet]) -> Iterator[Finding]:
    if (images := splits.get("train")) is None:
        return
    counts = torch.bincount(images.targets, minlength=len(images.labels)).tolist()
    for label, count in zip(images.labels, counts, strict=True):
        if count < FEW:
            yield Finding(FEW_PICTURES, about=f"{label}: {count:,}")
