"""The data set `patterns`: drawn images without an object; see `training/data/patterns.py`."""

from pathlib import Path

import torch

from models.preprocessing import InputSpec
from training.data import patterns
from training.data.datasets import ImageSet
from training.data.registry import DatasetEntry, register

TRAIN, TEST = (1000, 1), (200, 2)  # how many of each kind, and the seed that draws them


def _draw(train: bool, _root: Path, spec: InputSpec) -> ImageSet:
    images, targets = patterns.draw(*(TRAIN if train else TEST))
    pixels = torch.stack([spec.pixels(image) for image in images])
    return ImageSet(pixels, torch.tensor(targets), patterns.LABELS)


register(
    DatasetEntry(
        name="patterns",
        description="Colours, gradients, noise, stripes, shapes and strokes: strangers to train "
        "against.",
        shape=(3, patterns.SIDE, patterns.SIDE),
        labels=patterns.LABELS,
        pictures=(TRAIN[0] * len(patterns.LABELS), TEST[0] * len(patterns.LABELS)),
        source="drawn by Fanlight",
        load=_draw,
        licence="Apache-2.0",
    )
)
