"""LeNet computes what its description says: with ReLU and max-pooling, or as it was at first."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models import features
from models.architectures import registry
from models.architectures.registry import ArchitectureError

Step = Callable[[Tensor], Tensor]


@pytest.fixture
def pictures() -> Tensor:
    return torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "activation", "pooling"),
    [
        ("lenet", F.relu, lambda x: F.max_pool2d(x, 2)),
        ("lenet-plain", torch.sigmoid, lambda x: F.avg_pool2d(x, 2)),
    ],
)
def test_forward(name: str, activation: Step, pooling: Step, pictures: Tensor) -> None:
    network = registry.architecture(name).build(10).eval()
    state = network.state_dict()
    x = F.conv2d(pictures, state["conv1.weight"], state["conv1.bias"], padding=2)
    x = pooling(activation(x))
    x = pooling(activation(F.conv2d(x, state["conv2.weight"], state["conv2.bias"]))).flatten(1)
    x = activation(F.linear(x, state["fc1.weight"], state["fc1.bias"]))
    x = activation(F.linear(x, state["fc2.weight"], state["fc2.bias"]))
    expected = F.linear(x, state["fc3.weight"], state["fc3.bias"])
    with torch.inference_mode():
        torch.testing.assert_close(network(pictures), expected)


@pytest.mark.parametrize("name", ["lenet", "lenet-plain"])
def test_number_of_parameters(name: str) -> None:
    convolutions = (6 * 5 * 5 + 6) + (6 * 16 * 5 * 5 + 16)
    linear = (400 * 120 + 120) + (120 * 84 + 84) + (84 * 10 + 10)
    network = registry.architecture(name).build(10)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == convolutions + linear == 61_706


def test_a_checkpoint_serves_with_and_without_dropout(pictures: Tensor) -> None:
    lenet = registry.architecture("lenet")
    trained = lenet.build(10, dropout=0.5).eval()
    network = lenet.build(10).eval()
    network.load_state_dict(trained.state_dict(), strict=True)
    with torch.inference_mode():
        assert torch.equal(network(pictures), trained(pictures))


def test_dropout_drops_values_after_each_pooling_in_training(pictures: Tensor) -> None:
    network = registry.architecture("lenet").build(10, dropout=0.5).train()
    pairs = [("pool1", "dropout1"), ("pool2", "dropout2")]
    names = [name for pair in pairs for name in pair]
    with (
        torch.random.fork_rng(),
        torch.inference_mode(),
        features.capture(network, names) as activations,
    ):
        torch.manual_seed(0)
        network(pictures)
    for pooled, dropped in pairs:
        positive = activations[pooled] > 0
        kept = activations[dropped] > 0
        torch.testing.assert_close(activations[dropped][kept], 2 * activations[pooled][kept])
        assert 0.4 < kept.sum() / positive.sum() < 0.6


@pytest.mark.parametrize(
    ("name", "lowest"),
    [("lenet", -1), ("lenet-plain", 0)],
)
def test_range_of_the_normalised_pixels(name: str, lowest: int) -> None:
    pixels = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
    normalised = registry.architecture(name).input.normalize(pixels)
    assert normalised.flatten().tolist() == [lowest, 1]


@pytest.mark.parametrize(
    ("name", "dropout", "problem"),
    [
        ("lenet", 1.5, "should be at most 1, not 1.5"),
        ("lenet-plain", 0.5, "no argument 'dropout'"),
    ],
)
def test_arguments_that_cannot_be(name: str, dropout: float, problem: str) -> None:
    with pytest.raises(ArchitectureError, match=f"'{name}' can't be built with .*{problem}"):
        registry.architecture(name).build(10, dropout=dropout)
