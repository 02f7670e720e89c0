"""CIFAR-10's airplanes and birds (Krizhevsky 2009), which torchvision downloads."""

from pathlib import Path

import torch

from models.preprocessing import InputSpec
from models.torchvision_import import torchvision
from training.data.datasets import ImageSet, scaled
from training.data.registry import DatasetEntry, register

LABELS = ("airplane", "bird")


def _load(train: bool, root: Path, spec: InputSpec) -> ImageSet:
    """Each class in its order. Airplanes come first, as in an image folder: a seed means the same
    with either."""
    data = torchvision("datasets").CIFAR10(root, train=train, download=True)
    classes = torch.tensor(data.targets)
    wanted = [data.class_to_idx[label] for label in LABELS]
    chosen = torch.cat([(classes == each).nonzero().flatten() for each in wanted])
    targets = (classes[chosen] == wanted[1]).long()
    return ImageSet(scaled(data.data[chosen.numpy()], spec), targets, LABELS)


register(
    DatasetEntry(
        name="birds-vs-planes",
        description="The airplanes and the birds of CIFAR-10, small photographs.",
        shape=(3, 32, 32),
        labels=LABELS,
        pictures=(10_000, 2_000),
        source="torchvision's CIFAR10",
        load=_load,
    )
)
