"""The catalogue has every system of the reference, trained as it was first described."""

from typing import Any

import pytest
import torch

from models.architectures import registry
from training.recipes import catalogue
from training.recipes.catalogue import CATALOGUE
from training.recipes.recipe import Recipe

PLANES, CLOTHES = "birds-vs-planes", "fashion-mnist"
XAVIER = {"initialisation": "xavier"}

# recipe: data set, architecture, arguments, epochs, batch, optimizer, rate, all else
REFERENCE: dict[str, tuple[str, str, dict[str, Any], int, int, str, float, dict[str, Any]]] = {
    "birds-vs-planes-base": (PLANES, "birdplane-base", {}, 100, 64, "sgd", 0.01, {}),
    "birds-vs-planes-width": (PLANES, "birdplane-width", {}, 100, 64, "sgd", 0.01, {}),
    "birds-vs-planes-dropout": (PLANES, "birdplane-dropout", {}, 100, 64, "sgd", 0.01, {}),
    "birds-vs-planes-batchnorm": (
        *(PLANES, "birdplane-batchnorm", {}, 100, 64, "sgd", 0.01),
        {"l2": 0.001},
    ),
    "fashion-mnist-mlp": (CLOTHES, "mlp", {}, 10, 128, "adam", 0.001, {}),
    "fashion-mnist-lenet-plain": (CLOTHES, "lenet-plain", {}, 30, 128, "adam", 0.001, {}),
    "fashion-mnist-lenet": (CLOTHES, "lenet", {}, 30, 128, "adam", 0.001, {}),
    "fashion-mnist-lenet-dropout": (
        *(CLOTHES, "lenet", {"dropout": 0.5}, 30, 128, "adam", 0.001),
        {},
    ),
    "fashion-mnist-alexnet": (CLOTHES, "alexnet", {}, 10, 128, "sgd", 0.01, XAVIER),
    "fashion-mnist-alexnet-small": (CLOTHES, "alexnet-small", {}, 10, 128, "sgd", 0.01, XAVIER),
    "fashion-mnist-resnet": (CLOTHES, "resnet", {}, 10, 128, "sgd", 0.01, {}),
    "mnist-cnn": ("mnist", "mnist-cnn", {}, 1, 50, "adam", 0.001, {}),
    "xo-base": ("xo", "xo", {}, 10, 64, "sgd", 0.1, {}),
    "xo-11-channels": ("xo", "xo", {"n_channel": 11}, 10, 64, "sgd", 0.1, {}),
    "xo-15-channels": ("xo", "xo", {"n_channel": 15}, 10, 64, "sgd", 0.1, {}),
    "xo-three-convolutions": ("xo", "xo-three-convolutions", {}, 20, 64, "sgd", 0.1, {}),
    "xo-third-of-3-channels": (
        *("xo", "xo-three-convolutions", {"third": 3}, 20, 64, "sgd", 0.1),
        {},
    ),
    "xo-no-pooling": ("xo", "xo", {"pooling": False}, 20, 64, "sgd", 0.1, {}),
}
STRONG = ("birds-vs-planes", "fashion-mnist", "mnist", "xo")


@pytest.mark.parametrize("name", REFERENCE)
def test_the_systems_of_the_reference(name: str) -> None:
    dataset, architecture, arguments, epochs, batch_size, optimizer, rate, rest = REFERENCE[name]
    plain = Recipe(name, dataset, architecture, epochs, batch_size, optimizer, rate, arguments)  # type: ignore[arg-type]
    assert catalogue.recipe(name).differences(plain) == rest


def test_all_others_are_the_strong_ones() -> None:
    assert set(CATALOGUE) == {*REFERENCE, *STRONG}


@pytest.mark.parametrize("name", STRONG)
def test_strong_recipes_publish_what_fanlight_ships(name: str) -> None:
    recipe = catalogue.recipe(name)
    assert recipe.name == name
    assert (recipe.architecture, recipe.initialisation) == ("convnet", "whitening")
    assert recipe.schedule == "one-cycle"
    assert recipe.validation_fraction == 0  # all is trained on, and the last epoch kept


def test_characters_are_not_mirrored() -> None:
    assert not catalogue.recipe("mnist").flip


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_recipe_builds_a_network_for_its_input(name: str) -> None:
    recipe = catalogue.recipe(name)
    assert recipe.name == name
    assert recipe.input.channels == (3 if name.startswith("birds") else 1)
    with torch.device("meta"):  # shapes alone
        network = registry.architecture(recipe.architecture).build(2, **recipe.arguments).eval()
        assert network(torch.empty(1, *recipe.input.shape)).shape == (1, 2)


def test_a_recipe_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        catalogue.recipe("cifar")
