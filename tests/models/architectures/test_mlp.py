"""Multilayer perceptrons compute what their description says, under the names of a Sequential."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models import features
from models.architectures import registry
from models.architectures.registry import ArchitectureError

DESCRIBED: dict[str, tuple[dict[str, Any], Callable[[], nn.Sequential]]] = {
    "no hidden layer": ({"hidden": []}, lambda: nn.Sequential(nn.Linear(784, 10))),
    "one hidden layer": (
        {},
        lambda: nn.Sequential(nn.Linear(784, 1000), nn.ReLU(), nn.Linear(1000, 10)),
    ),
    "two hidden layers": (
        {"hidden": [1000, 1000]},
        lambda: nn.Sequential(
            *(nn.Linear(784, 1000), nn.ReLU()),
            *(nn.Linear(1000, 1000), nn.ReLU()),
            nn.Linear(1000, 10),
        ),
    ),
    "batch normalisation": (
        {"batchnorm": True},
        lambda: nn.Sequential(
            *(nn.Linear(784, 1000), nn.BatchNorm1d(1000), nn.ReLU()),
            nn.Linear(1000, 10),
        ),
    ),
    "dropout": (
        {"dropout": 0.25},
        lambda: nn.Sequential(
            *(nn.Dropout(0.25), nn.Linear(784, 1000), nn.ReLU()),
            *(nn.Dropout(0.25), nn.Linear(1000, 10)),
        ),
    ),
}


@pytest.fixture
def pictures() -> Tensor:
    return torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def seeded(build: Callable[[], nn.Sequential], pictures: Tensor) -> nn.Sequential:
    """With random weights and, where there is batch normalisation, statistics of the pictures."""
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(1)
        network = build()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d):
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
        network.train()(pictures.flatten(1) * 2)
    return network.eval()


@pytest.mark.parametrize("variant", DESCRIBED)
def test_checkpoints_of_a_plain_sequential_give_its_logits(variant: str, pictures: Tensor) -> None:
    arguments, build = DESCRIBED[variant]
    original = seeded(build, pictures)
    network = registry.architecture("mlp").build(10, **arguments).eval()
    network.load_state_dict(original.state_dict(), strict=True)
    with torch.inference_mode():
        torch.testing.assert_close(network(pictures), original(pictures.flatten(1)))


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        ({"hidden": []}, 784 * 10 + 10),  # 7,850
        ({}, 785 * 1000 + 10_010),  # 795,010
        ({"hidden": [1000, 1000]}, 785 * 1000 + 1001 * 1000 + 10_010),  # 1,796,010
        ({"batchnorm": True}, 785 * 1000 + 2 * 1000 + 10_010),  # 797,010
        ({"dropout": 0.25}, 795_010),
    ],
)
def test_number_of_parameters(arguments: dict[str, Any], parameters: int) -> None:
    network = registry.architecture("mlp").build(10, **arguments)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_hidden_values_can_be_captured(pictures: Tensor) -> None:
    network = registry.architecture("mlp").build(10, hidden=[32], batchnorm=True).eval()
    with torch.inference_mode(), features.capture(network, ["0", "1", "2"]) as activations:
        logits = network(pictures)
    assert activations["0"].shape == activations["1"].shape == (8, 32)
    assert torch.equal(activations["2"], activations["1"].relu())
    output = network.get_submodule("3")
    with torch.inference_mode():
        assert torch.equal(output(activations["2"]), logits)


def test_dropout_drops_pixels_and_hidden_values_in_training(pictures: Tensor) -> None:
    network = registry.architecture("mlp").build(10, hidden=[500], dropout=0.25).train()
    with (
        torch.random.fork_rng(),
        torch.inference_mode(),
        features.capture(network, ["0", "2", "3"]) as activations,
    ):
        torch.manual_seed(0)
        network(pictures)
    for before, after in ((pictures.flatten(1), "0"), (activations["2"], "3")):
        kept = activations[after] != 0
        torch.testing.assert_close(activations[after][kept], before[kept] / 0.75)
        assert 0.7 < kept.sum() / (before != 0).sum() < 0.8


def test_dropout_does_nothing_in_evaluation(pictures: Tensor) -> None:
    network = registry.architecture("mlp").build(10, hidden=[50], dropout=0.25).eval()
    with torch.inference_mode(), features.capture(network, ["2", "3"]) as activations:
        network(pictures)
    assert torch.equal(activations["2"], activations["3"])


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"hidden": [100, 0]}, r"hidden.1: should be at least 1, not 0"),
        ({"hidden": [-1]}, r"hidden.0: should be at least 1, not -1"),
        ({"hidden": 1000}, "hidden: should be a list, not 1000"),
        ({"dropout": 1.5}, "should be at most 1, not 1.5"),
        ({"dropout": -0.5}, "should be at least 0, not -0.5"),
        ({"widths": [100]}, "no argument 'widths'"),
    ],
)
def test_arguments_that_cannot_be(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ArchitectureError, match=f"'mlp' can't be built with .*{problem}"):
        registry.architecture("mlp").build(10, **arguments)
