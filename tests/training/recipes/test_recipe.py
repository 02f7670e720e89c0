"""Recipes say what they mean, and refuse what means nothing."""

from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from models.architectures import registry
from models.architectures.registry import ArchitectureError
from models.preprocessing import InputSpec
from tests.networks import SPEC
from training.recipes.recipe import Recipe

RECIPE = Recipe("colors", "colors", "tiny", 2, 4, "adam", 0.01)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epochs": 0}, "epochs must be above 0, not 0"),
        ({"batch_size": 0}, "batch_size must be above 0"),
        ({"size": 0}, "size must be above 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"learning_rate": -0.1}, "learning_rate must be above 0"),
        ({"learning_rate": float("inf")}, "learning_rate must be above 0, not inf"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0, not nan"),
        ({"l1": -0.1}, "l1 must be 0 or more, not -0.1"),
        ({"l2": -0.1}, "l2 must be 0 or more"),
        ({"l2_norm": float("nan")}, "l2_norm must be 0 or more"),
        ({"weight_decay": -1.0}, "weight_decay must be 0 or more"),
        ({"crop_padding": -1}, "crop_padding must be 0 or more"),
        ({"momentum": 1.0, "optimizer": "sgd"}, r"momentum must be in \[0, 1\)"),
        ({"averaging": 1.0}, r"averaging must be in \[0, 1\)"),
        ({"label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\)"),
        ({"validation_fraction": 1.0}, r"validation_fraction must be in \[0, 1\)"),
        ({"validation_fraction": -0.1}, r"validation_fraction must be in \[0, 1\)"),
        ({"schedule": "plateau", "validation_fraction": 0}, "plateau needs a validation_fraction"),
        ({"momentum": 0.9}, "momentum is SGD's; .* set momentum to 0"),
    ],
    ids=str,
)
def test_nonsense_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(RECIPE, **fields)


def test_a_recipe_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        RECIPE.seed = 1  # type: ignore[misc]


class TestInput:
    def test_it_is_the_architectures_own(self) -> None:
        assert RECIPE.input == SPEC

    def test_what_is_given_is_changed(self) -> None:
        changed = replace(RECIPE, size=16, resize="stretch", mean=(0.1, 0.2, 0.3), std=(1, 2, 3))
        assert changed.input == InputSpec(
            channels=3, height=16, width=16, resize="stretch", mean=(0.1, 0.2, 0.3), std=(1, 2, 3)
        )
        assert replace(RECIPE, std=(2, 2, 2)).input.mean == SPEC.mean

    def test_one_value_is_for_all_channels(self) -> None:
        changed = replace(RECIPE, mean=(0.0,), std=(1 / 255,))
        assert (changed.input.mean, changed.input.std) == ((0.0,) * 3, (1 / 255,) * 3)

    def test_the_argument_channels_decides_them(self) -> None:
        grey = replace(RECIPE, architecture="convnet", arguments={"channels": 1})
        assert grey.input == InputSpec(channels=1, height=32, width=32)
        assert replace(grey, mean=(0.5,), std=(0.25,)).input.std == (0.25,)
        colored = replace(grey, arguments={"channels": 3})
        assert colored.input == registry.architecture("convnet").input

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"architecture": "huge"}, "no architecture 'huge'"),
            ({"mean": (0.1, 0.2)}, "the input: .*mean has 2 values for 3 channels"),
            ({"std": (0.0,)}, "the input: .*std must be above 0"),
            ({"size": 5000}, "the input: should be at most 4096"),
            ({"architecture": "convnet", "arguments": {"channels": 2}}, "the input: .*1 or 3"),
        ],
    )
    def test_an_impossible_one(self, fields: dict[str, Any], message: str) -> None:
        with pytest.raises(ArchitectureError, match=message):
            _ = replace(RECIPE, **fields).input


def test_epochs_that_are_not_chosen_yet() -> None:
    assert RECIPE.epochs_to_run == 2
    with pytest.raises(ValueError, match="no number of epochs yet"):
        _ = replace(RECIPE, epochs=None).epochs_to_run


def test_differences_to_another_recipe() -> None:
    other = replace(RECIPE, epochs=3, arguments={"n_channel": 8})
    assert other.differences(RECIPE) == {"epochs": 3, "arguments": {"n_channel": 8}}
    assert RECIPE.differences(RECIPE) == {}
