"""Small data sets of blue, green and red pictures, in memory and as folders."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tests.networks import LABELS, SPEC
from training.data.datasets import ImageSet
from training.recipes.recipe import Recipe

RECIPE = Recipe(
    name="colors",
    dataset="colors",
    architecture="tiny",
    epochs=2,
    batch_size=4,
    optimizer="adam",
    learning_rate=0.01,
)
"""A short training on `colors`."""


def colors(pictures: int = 8, seed: int = 0) -> ImageSet:
    """So many pictures of each label, in its order; the channel of that number is the brightest."""
    noise = np.random.default_rng(seed).integers(0, 60, (3, pictures, 3, 8, 8), dtype=np.uint8)
    for channel in range(3):
        noise[channel, :, channel] += 150
    images = torch.from_numpy(noise.reshape(3 * pictures, *SPEC.shape))
    return ImageSet(images, torch.arange(3).repeat_interleave(pictures), LABELS)


def numbered(count: int, classes: int = 1) -> ImageSet:
    """Pictures each of which is filled with its own number; the classes take turns."""
    images = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, *SPEC.shape)
    labels = tuple("abcdefgh"[:classes])
    return ImageSet(images.contiguous(), torch.arange(count) % classes, labels)


def numbers(images: ImageSet) -> list[int]:
    return images.in_memory[:, 0, 0, 0].tolist()


def write_colors(folder: Path, pictures: int = 8) -> Path:
    """An image folder <folder>/{train,test}/{blue,green,red}/0.png, …"""
    for seed, split in enumerate(("train", "test")):
        images = colors(pictures, seed)
        for number, (image, target) in enumerate(
            zip(images.in_memory, images.targets, strict=True)
        ):
            path = folder / split / LABELS[int(target)] / f"{number % pictures}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    return folder
