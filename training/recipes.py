"""Recipes: one frozen value says everything that decides the weights.

It is the command line, the head of the run folder and a field of the checkpoint's card. The same
recipe gives the same weights on the same CPU with as many threads; a GPU adds up in no fixed order.
"""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Recipe:
    """What is trained on what, and how."""

    name: str
    """The model that the result is published as."""
    dataset: str
    """A data set by name (birds-vs-planes, fashion-mnist, mnist), or a folder of
    {train,test}/<class>/ pictures."""
    architecture: str
    """A network by its name in models/registry.py, or torchvision/<name>."""
    epochs: int
    """Passes over the training set."""
    batch_size: int
    """Pictures a step."""
    optimizer: Literal["sgd", "adam"]
    """Plain stochastic gradient descent, or Adam with its usual betas."""
    learning_rate: float
    """Constant over the training."""
    l2: float = 0.0
    """Adds l2 · Σp² over all parameters to the loss."""
    flip: bool = False
    """Mirror each training picture left to right with probability 1/2."""
    crop_padding: int = 0
    """Pad by so many reflected pixels, and crop back at a random place."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 runs the forward pass under autocast."""
    validation_fraction: float = 0.1
    """The part of the training set, the same of each class, that is held out to select the epoch;
    with 0 the last epoch is taken."""
    seed: int = 0
    """Decides the split, the initial weights, the order of the pictures and the augmentation."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        if not 0 <= self.l2 < math.inf or self.crop_padding < 0:
            raise ValueError("l2 and crop_padding must be 0 or more")
        if not 0 <= self.validation_fraction < 1:
            raise ValueError("validation_fraction must be in [0, 1)")


def _birds_vs_planes(variant: str, l2: float = 0.0) -> Recipe:
    return Recipe(
        name=f"birds-vs-planes-{variant}",
        dataset="birds-vs-planes",
        architecture=f"birdplane-{variant}",
        epochs=100,
        batch_size=64,
        optimizer="sgd",
        learning_rate=0.01,
        l2=l2,
    )


RECIPES = {
    recipe.name: recipe
    for recipe in (
        _birds_vs_planes("base"),
        _birds_vs_planes("width"),
        _birds_vs_planes("dropout"),
        _birds_vs_planes("batchnorm", l2=0.001),
        Recipe("fashion-mnist", "fashion-mnist", "lenet", 30, 128, "adam", 0.001),
        Recipe("mnist", "mnist", "mnist-cnn", 1, 50, "adam", 0.001),
    )
}
