"""Classes of CIFAR-10 (Krizhevsky 2009), which torchvision downloads: airplanes and birds, and four
others, which are strangers to them."""

from pathlib import Path

import torch

from models.preprocessing import InputSpec
from models.torchvision_import import torchvision
from training.data.datasets import ImageSet, scaled
from training.data.registry import DatasetEntry, register

LABELS = ("airplane", "bird")
OTHERS = ("automobile", "deer", "dog", "frog")


def _entry(
    name: str, description: str, labels: tuple[str, ...], pictures: tuple[int, int]
) -> DatasetEntry:
    """Return the entry of a data set of classes of CIFAR-10; `pictures` are its sizes (train,
    test)."""

    def load(train: bool, root: Path, spec: InputSpec) -> ImageSet:
        """Load one split, sorted by class as an image folder is, so that a seed means the same."""
        data = torchvision("datasets").CIFAR10(root, train=train, download=True)
        classes = torch.tensor(data.targets)
        members = [(classes == data.class_to_idx[label]).nonzero().flatten() for label in labels]
        chosen = torch.cat(members)
        targets = torch.cat([torch.full_like(each, at) for at, each in enumerate(members)])
        return ImageSet(scaled(data.data[chosen.numpy()], spec), targets, labels)

    source = "torchvision's CIFAR10"
    return DatasetEntry(name, description, (3, 32, 32), labels, pictures, source, load)


_BIRDS = "The airplanes and the birds of CIFAR-10, small photographs."
_OTHERS = "Automobiles, deer, dogs and frogs of CIFAR-10: strangers to birds and planes."
register(_entry("birds-vs-planes", _BIRDS, LABELS, (10_000, 2_000)))
register(_entry("cifar10-others", _OTHERS, OTHERS, (20_000, 4_000)))
