"""MNIST and FashionMNIST on other backgrounds: inverted, or with white in place of black.

    pixels of the data set, as its files have them → change of pixels → `InputSpec.pixels`

Splits, labels and the order of the pictures are those of the data set. Pixels are changed before
`InputSpec` scales them, as if the files had changed. So a framing rule, which converts pictures to
light on black, sees the white background.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from models.preprocessing import InputSpec
from training.data.datasets import ImageSet, scaled
from training.data.registry import DatasetEntry, register
from training.data.sets.mnist import FASHION_MNIST, MNIST

_WHITE = 255
_BLACK = 15  # highest level of a ground: about the subjects of FashionMNIST it is not quite 0
_AT_ONCE = 5000  # pictures, whose grounds are found together


def inverted(entry: DatasetEntry, description: str) -> DatasetEntry:
    """Return the entry of `NAME-inverted`; all pictures of `entry` must have its `shape`."""
    return _changed(entry, "inverted", description, lambda images: _WHITE - images)


def on_white(entry: DatasetEntry, description: str) -> DatasetEntry:
    """Return the entry of `NAME-on-white`; all pictures of `entry` must be grey and have its
    `shape`."""
    return _changed(entry, "on-white", description, white_ground)


def white_ground(images: Tensor) -> Tensor:
    """Make the black background of grey pictures (N, 1, H, W), uint8, white; the subject stays.

    The background are the nearly black pixels that are connected to the edge of the picture, side
    by side, not by a corner. Black inside the subject stays black.
    """
    return torch.cat(
        [some.masked_fill(_ground(some <= _BLACK), _WHITE) for some in images.split(_AT_ONCE)]
    )


def _ground(is_black: Tensor) -> Tensor:
    """Return a mask of the black pixels (N, 1, H, W) that are connected to the edge by black
    pixels."""
    edge = torch.ones_like(is_black)
    edge[..., 1:-1, 1:-1] = False
    ground, more = is_black & edge, True
    while more:
        grown = ground.clone()
        grown[..., 1:, :] |= ground[..., :-1, :]
        grown[..., :-1, :] |= ground[..., 1:, :]
        grown[..., 1:] |= ground[..., :-1]
        grown[..., :-1] |= ground[..., 1:]
        grown &= is_black
        more, ground = not torch.equal(grown, ground), grown
    return ground


def _changed(
    entry: DatasetEntry, suffix: str, description: str, change: Callable[[Tensor], Tensor]
) -> DatasetEntry:
    """Return the entry of a data set whose pictures, uint8 (N, C, H, W), go through `change`."""

    def load(train: bool, root: Path, spec: InputSpec) -> ImageSet:
        images = entry.load(train, root, entry.input)
        changed = change(images.in_memory).permute(0, 2, 3, 1)  # (N, H, W, C)
        arrays = changed.squeeze(-1).numpy()  # Pillow takes grey ones as (H, W)
        return replace(images, images=scaled(arrays, spec))

    return replace(
        entry,
        name=f"{entry.name}-{suffix}",
        description=description,
        load=load,
        version_of=entry.name,
    )


register(inverted(MNIST, "The pictures of `mnist` inverted: black on white."))
register(inverted(FASHION_MNIST, "The pictures of `fashion-mnist` inverted: dark on white."))
register(on_white(FASHION_MNIST, "The clothes of `fashion-mnist` as they are, on a white ground."))
