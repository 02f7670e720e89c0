"""Recipes say what they mean, and the catalogue is that of the reference systems."""

from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from models import registry
from training.recipes import RECIPES, Recipe

RECIPE = Recipe("colors", "colors", "tiny", 2, 4, "adam", 0.01)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epochs": 0}, "epochs must be above 0, not 0"),
        ({"batch_size": 0}, "batch_size must be above 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"learning_rate": -0.1}, "learning_rate must be above 0"),
        ({"l2": -0.1}, "l2 and crop_padding must be 0 or more"),
        ({"crop_padding": -1}, "l2 and crop_padding must be 0 or more"),
        ({"validation_fraction": 1.0}, r"validation_fraction must be in \[0, 1\)"),
        ({"validation_fraction": -0.1}, r"validation_fraction must be in \[0, 1\)"),
    ],
)
def test_nonsense_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(RECIPE, **fields)


def test_a_recipe_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        RECIPE.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "dataset", "architecture", "epochs", "batch_size", "optimizer", "rate", "l2"),
    [
        ("birds-vs-planes-base", "birds-vs-planes", "birdplane-base", 100, 64, "sgd", 0.01, 0),
        ("birds-vs-planes-width", "birds-vs-planes", "birdplane-width", 100, 64, "sgd", 0.01, 0),
        (
            "birds-vs-planes-dropout",
            "birds-vs-planes",
            "birdplane-dropout",
            100,
            64,
            "sgd",
            0.01,
            0,
        ),
        (
            *("birds-vs-planes-batchnorm", "birds-vs-planes", "birdplane-batchnorm"),
            *(100, 64, "sgd", 0.01, 0.001),
        ),
        ("mnist", "mnist", "mnist-cnn", 1, 50, "adam", 0.001, 0),
        ("fashion-mnist", "fashion-mnist", "lenet", 30, 128, "adam", 0.001, 0),
    ],
)
def test_the_catalogue_agrees_with_the_reference(
    name: str,
    dataset: str,
    architecture: str,
    epochs: int,
    batch_size: int,
    optimizer: str,
    rate: float,
    l2: float,
) -> None:
    recipe = RECIPES[name]
    assert recipe.name == name
    assert (recipe.dataset, recipe.architecture) == (dataset, architecture)
    assert (recipe.epochs, recipe.batch_size) == (epochs, batch_size)
    assert (recipe.optimizer, recipe.learning_rate, recipe.l2) == (optimizer, rate, l2)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_recipe_names_an_architecture_that_is_there(recipe: Recipe) -> None:
    assert registry.architecture(recipe.architecture).name == recipe.architecture
