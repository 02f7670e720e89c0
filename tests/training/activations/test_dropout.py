"""Dropout in training and in evaluation, on one picture."""

import pytest
import torch
from torch import Tensor, nn

from training.activations import dropout
from training.activations.dropout import Demonstration

PICTURE = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def network(p: float = 0.25, **changes: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    layers = {
        "conv": nn.Conv2d(3, 6, 3, padding=1),
        "norm": nn.BatchNorm2d(6),
        "maps": nn.Dropout2d(p),
        "flat": nn.Flatten(),
        "units": nn.Dropout(p),
        "fc": nn.Linear(96, 3),
    }
    built = nn.Sequential()
    for name, layer in {**layers, **changes}.items():
        built.add_module(name, layer)
    return built.eval()


def shown(p: float = 0.25, draws: int = 400, seed: int = 1) -> Demonstration:
    return dropout.demonstrate(network(p), PICTURE, draws, seed)


def test_units_are_dropped_or_scaled() -> None:
    for layer in shown().layers:
        kept = layer.behind != 0
        expected = (layer.before / 0.75).expand_as(layer.behind)
        torch.testing.assert_close(layer.behind[kept], expected[kept])
        assert layer.dropped == pytest.approx(0.25, abs=0.05)
        assert torch.equal(layer.evaluated, layer.before)


@pytest.mark.slow
def test_the_mean_of_many_draws_comes_near_the_value() -> None:
    few, many = shown(draws=10).layers, shown(draws=4000).layers
    for one, other in zip(few, many, strict=True):
        torch.testing.assert_close(other.means, other.before, rtol=0.05, atol=0)
        assert (other.means - other.before).abs().sum() < (one.means - one.before).abs().sum()


def test_probabilities_spread_about_those_of_evaluation() -> None:
    found = shown()
    with torch.inference_mode():
        expected = network()(PICTURE).softmax(1)[0]
    torch.testing.assert_close(found.evaluated, expected)
    assert found.drawn.shape == (400, 3)
    torch.testing.assert_close(found.drawn.sum(1), torch.ones(400))
    assert found.drawn.std(0).min() > 0


def test_whole_maps_are_dropped_and_each_shows_one_unit() -> None:
    maps, units = shown().layers
    assert [place.split(" ")[0] for place in maps.places] == list("012345")
    assert len(units.places) == dropout.UNITS


def test_nothing_else_is_in_training_mode_and_the_network_stays_in_evaluation() -> None:
    built = network()
    state = {name: value.clone() for name, value in built.state_dict().items()}
    dropout.demonstrate(built, PICTURE, 10, 0)
    assert all(torch.equal(state[name], value) for name, value in built.state_dict().items())
    assert not any(module.training for module in built.modules())


def test_the_seed_decides_and_torchs_generator_is_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = shown(seed=1), shown(seed=1), shown(seed=2)
    torch.manual_seed(5)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.drawn, same.drawn)
    assert not torch.equal(one.drawn, other.drawn)


def test_layers_that_drop_nothing_are_none() -> None:
    assert list(dropout.modules(network())) == ["maps", "units"]
    assert dropout.modules(network(0.0)) == {}
    assert dropout.modules(nn.Sequential(nn.Linear(2, 2))) == {}


def test_all_may_be_dropped() -> None:
    layer = shown(1.0, draws=5).layers[0]
    assert layer.behind.abs().sum() == 0
    assert "all others are 0" in str(dropout.layer_table(layer).title)


def test_the_tables() -> None:
    found = shown()
    heads = [str(each.header) for each in dropout.layer_table(found.layers[0]).columns]
    draws = [f"draw {number}" for number in range(1, 5)]
    assert heads == ["unit", "before", *draws, "mean of draws", "evaluation"]
    classes = list(dropout.probability_table(found, ("a", "b", "c")).columns[0].cells)
    order = found.evaluated.argsort(descending=True).tolist()
    assert classes == ["abc"[index] for index in order]


class Scaled(nn.Module):
    """Its dropout is called twice, and the second call is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.drop(2 * self.drop(x.flatten(1)))
        return logits


def test_of_a_layer_that_is_called_twice_the_last_call_is_shown() -> None:
    (layer,) = dropout.demonstrate(Scaled().eval(), PICTURE, 3, 0).layers
    assert layer.before.max() == 2 * PICTURE.max()
