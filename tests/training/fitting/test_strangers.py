"""Strangers: pictures of none of the classes, which a network learns as further ones."""

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from tests.networks import SPEC
from tests.training.pictures import RECIPE, colors, numbered
from training.data.datasets import ImageSet
from training.fitting import loop, predicting, state
from training.fitting.loop import Hooks
from training.fitting.state import Fitted, Training
from training.recipes.recipe import Recipe

CPU = torch.device("cpu")


def fit(recipe: Recipe, **arguments: Any) -> Fitted:
    return loop.fit(recipe, colors(), SPEC, CPU, **arguments)


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    state, others = one.state_dict(), other.state_dict()
    return all(torch.equal(state[name], others[name]) for name in state)


def strangers() -> ImageSet:
    return replace(numbered(12, 2), labels=("cat", "dog"))


def test_the_fitted_network_has_only_its_own_classes() -> None:
    fitted = fit(RECIPE, strangers=strangers())
    state = fitted.network.state_dict()
    plain = fit(RECIPE).network.state_dict()
    assert {n: v.shape for n, v in state.items()} == {n: v.shape for n, v in plain.items()}
    assert predicting.predict(fitted.network, colors(), SPEC).shape == (24, 3)
    assert not same_weights(fitted.network, fit(RECIPE).network)


def test_its_logits_are_those_of_the_wide_one() -> None:
    pictures = colors().joined(strangers())
    generator = torch.Generator().manual_seed(0)
    training = Training(RECIPE, pictures, SPEC, CPU, generator, num_classes=3)
    loop.train_one_epoch(training, pictures, SPEC)
    wide = predicting.predict(training.kept_network(), pictures, SPEC)
    own = predicting.predict(training.kept_network(), colors(), SPEC)
    narrow = state.without_strangers(training.kept_network(), RECIPE, 3).eval()
    assert wide.shape == (36, 5)
    assert torch.equal(own, wide[:24, :3])
    assert torch.allclose(predicting.predict(narrow, colors(), SPEC), own, atol=1e-6)


def test_every_picture_is_used_and_figures_are_of_the_own() -> None:
    counts: list[int] = []
    recipe = replace(RECIPE, epochs=1, validation_fraction=0)
    fitted = fit(recipe, strangers=strangers(), hooks=Hooks(counts.append))
    assert sum(counts) == 24 + 12
    assert len(fitted.trained_on) == 24
    assert fitted.trained_on.labels == colors().labels
    assert 0 <= fitted.history[0].train.accuracy <= 1


def test_strangers_are_learned() -> None:
    grey = replace(numbered(60), labels=("grey",))
    recipe = replace(RECIPE, epochs=15)
    pictures = colors(20).joined(grey)
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # of the weights
        training = Training(recipe, pictures, SPEC, CPU, generator, num_classes=3)
    for _ in range(15):
        loop.train_one_epoch(training, pictures, SPEC)
    logits = predicting.predict(training.kept_network(), pictures, SPEC)
    assert (logits.argmax(1) == pictures.targets).float().mean() > 0.9


def test_it_goes_on_to_the_same_weights() -> None:
    states: list[dict[str, Any]] = []
    hooks = Hooks(on_state=lambda state: states.append(copy.deepcopy(state)))
    whole = fit(RECIPE, strangers=strangers(), hooks=hooks)
    again = fit(RECIPE, strangers=strangers(), state=states[0])
    assert same_weights(whole.network, again.network)
