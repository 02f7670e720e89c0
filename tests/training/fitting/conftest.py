"""Networks of a test's own."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from torch import nn

from models.architectures import registry
from models.preprocessing import InputSpec
from tests.training.pictures import RECIPE
from training.recipes.recipe import Recipe

PLAIN = InputSpec(channels=3, height=8, width=8)
Register = Callable[[Callable[[int], nn.Module]], Recipe]


@pytest.fixture
def recipe_of() -> Iterator[Register]:
    """A recipe for a network of the test's own."""

    def register(factory: Callable[[int], nn.Module]) -> Recipe:
        registry.ARCHITECTURES.discard("own")
        registry.register("own", PLAIN)(lambda num_classes: factory(num_classes))
        return replace(RECIPE, architecture="own")

    with registry.ARCHITECTURES.restored():
        yield register
