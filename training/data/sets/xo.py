"""Circles and crosses, which are drawn; see `training/data/drawing.py`."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch

from models.preprocessing import InputSpec
from training.data import drawing
from training.data.datasets import ImageSet
from training.data.registry import DatasetEntry, register

Kind = Literal["original", "by-hand"]
# kind → how many pictures, and the seed that draws them; the first has as many as the set that the
# networks were first described with
TRAIN: dict[Kind, tuple[int, int]] = {"original": (1700, 1), "by-hand": (10_000, 1)}
TEST: dict[Kind, tuple[int, int]] = {"original": (300, 2), "by-hand": (2000, 2)}


def _drawn(kind: Kind) -> Callable[[bool, Path, InputSpec], ImageSet]:
    def draw(train: bool, _root: Path, spec: InputSpec) -> ImageSet:
        images, targets = drawing.draw(kind, *(TRAIN if train else TEST)[kind])
        pixels = torch.stack([spec.pixels(image) for image in images])
        return ImageSet(pixels, torch.tensor(targets), drawing.LABELS)

    return draw


def _entry(name: str, description: str, kind: Kind) -> DatasetEntry:
    return DatasetEntry(
        name=name,
        description=description,
        shape=(1, drawing.SIDE, drawing.SIDE),
        labels=drawing.LABELS,
        pictures=(TRAIN[kind][0], TEST[kind][0]),
        source="drawn by Fanlight",
        load=_drawn(kind),
        licence="Apache-2.0",
    )


register(_entry("xo", "Circles and crosses, thin and black on white.", "original"))
register(_entry("xo-by-hand", "Circles and crosses as people draw or photograph them.", "by-hand"))
