"""Strangers, pictures of none of the network's classes: names of data sets → one `ImageSet`."""

from collections.abc import Sequence
from functools import reduce
from pathlib import Path

from models.checkpoint import Card
from models.preprocessing import InputSpec
from training.data import datasets, loose
from training.data.datasets import DatasetError, ImageSet
from training.data.files import sources
from training.data.registry import DATASETS
from training.data.storage import Storage


def load(
    name: str,
    root: Path,
    spec: InputSpec,
    seed: int,
    own: Sequence[str],
    place: Storage | None = None,
) -> ImageSet:
    """Load strangers: the training split of a data set, or all pictures of a folder.

    The second is for a folder without classes, which then has the label `stranger`. Otherwise the
    labels are those of the data set; several data sets joined by " + " may have different ones.
    Raises `DatasetError` if a data set is missing, or has a label that is among `own`, the labels
    of the network.
    """
    place = place or Storage()
    parts = [_kinds(part, root, spec, seed, place) for part in sources.parts(name, root)]
    found = reduce(ImageSet.joined, parts)
    found = found.relabel(tuple(dict.fromkeys(found.labels)))  # two sets may have the same kind
    if shared := set(found.labels) & set(own):
        raise DatasetError(
            f"{name} has pictures of {', '.join(sorted(shared))}, which the network has a class "
            "for: strangers are pictures of none of its classes"
        )
    return found


def of_training(card: Card) -> str | None:
    """Return the name of the data set of strangers that a network was trained with, or None."""
    name = None if card.training is None else card.training.recipe.get("strangers")
    return name if isinstance(name, str) else None


def _kinds(name: str, root: Path, spec: InputSpec, seed: int, place: Storage) -> ImageSet:
    folder = next((each for each in (root / name, Path(name)) if each.is_dir()), None)
    if folder is None or name in DATASETS:
        return datasets.load(name, "train", root, spec, seed, place)
    if sum(each.is_dir() for each in folder.iterdir()) < 2:
        return loose.load(name, root, spec, place)
    return datasets.load(name, "train", root, spec, seed, place)
