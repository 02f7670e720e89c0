"""MNIST and FashionMNIST as negatives: dark things on white, in place of light ones on black.

    pixels of the data set, as its files have them → 255 - pixel → `InputSpec.pixels`

Splits, labels and the order of the pictures are those of the data set. Pixels are inverted before
`InputSpec` scales them, as those of an inverted file would be: a framing rule, which brings
pictures to light on black, sees the white ground.
"""

from dataclasses import replace
from pathlib import Path

from models.preprocessing import InputSpec
from training.data.datasets import ImageSet, scaled
from training.data.registry import DatasetEntry, register
from training.data.sets.mnist import FASHION_MNIST, MNIST


def inverted(entry: DatasetEntry, description: str) -> DatasetEntry:
    """The data set `NAME-inverted`; all pictures of `entry` must have its `shape`."""

    def load(train: bool, root: Path, spec: InputSpec) -> ImageSet:
        images = entry.load(train, root, entry.input)
        negatives = 255 - images.images.permute(0, 2, 3, 1)  # (N, H, W, C)
        arrays = negatives.squeeze(-1).numpy()  # Pillow takes grey ones as (H, W)
        return replace(images, images=scaled(arrays, spec))

    return replace(
        entry,
        name=f"{entry.name}-inverted",
        description=description,
        load=load,
        version_of=entry.name,
    )


register(inverted(MNIST, "The pictures of `mnist` inverted: black on white."))
register(inverted(FASHION_MNIST, "The pictures of `fashion-mnist` inverted: dark on white."))
