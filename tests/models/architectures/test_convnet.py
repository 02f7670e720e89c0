"""The convnet computes what its description says, for pictures of any size."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import features
from models.architectures import registry
from models.architectures.registry import ArchitectureError


def trained(**arguments: object) -> nn.Module:
    """With seeded weights, and statistics of its own for the batch normalisation."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = registry.architecture("convnet").build(5, **arguments)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
                nn.init.normal_(module.running_mean)  # type: ignore[arg-type]
                nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
    return network.eval()


def pictures(channels: int, height: int = 32, width: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(4, channels, height, width, generator=generator)


def described(state: dict[str, Tensor], x: Tensor, blocks: int) -> Tensor:
    """The logits, in functions alone."""

    def normalised(x: Tensor, name: str) -> Tensor:
        mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return F.batch_norm(x, mean, variance, state[f"{name}.weight"], state[f"{name}.bias"])

    x = F.relu(F.conv2d(x, state["stem.weight"], state["stem.bias"]))
    for number in range(blocks):
        block = f"blocks.{number}"
        x = F.max_pool2d(F.conv2d(x, state[f"{block}.conv1.weight"], padding=1), 2)
        x = F.relu(normalised(x, f"{block}.bn1"))
        x = F.conv2d(x, state[f"{block}.conv2.weight"], padding=1)
        x = F.relu(normalised(x, f"{block}.bn2"))
    return F.linear(x.amax((2, 3)), state["fc.weight"], state["fc.bias"])


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(32, 32), (28, 28), (64, 48)], ids=str)
def test_forward(channels: int, size: tuple[int, int]) -> None:
    network, batch = trained(channels=channels, widths=[8, 16]), pictures(channels, *size)
    with torch.inference_mode():
        logits = network(batch)
        expected = described(network.state_dict(), batch, blocks=2)
    assert logits.shape == (4, 5)
    torch.testing.assert_close(logits, expected)


def test_number_of_parameters() -> None:
    def block(channels_in: int, channels: int) -> int:
        return 9 * channels_in * channels + 9 * channels * channels + 4 * channels

    stem = 24 * 3 * 2 * 2 + 24
    expected = stem + block(24, 32) + block(32, 64) + block(64, 128) + 128 * 10 + 10
    network = registry.architecture("convnet").build(10, channels=3, widths=(32, 64, 128))
    assert sum(parameter.numel() for parameter in network.parameters()) == expected == 295_106


def test_each_block_halves_the_map() -> None:
    network = trained(widths=[4, 8, 16])
    names = ["stem", "blocks.0", "blocks.1", "blocks.2", "pool"]
    with torch.inference_mode(), features.capture(network, names) as maps:
        network(pictures(3))
    shapes = [tuple(output.shape[1:]) for output in maps.values()]
    assert shapes == [(24, 31, 31), (4, 15, 15), (8, 7, 7), (16, 3, 3), (16, 1, 1)]


def test_layers_inside_a_block_can_be_captured() -> None:
    network = trained(widths=[4])
    names = ["blocks.0.conv1", "blocks.0.pool", "blocks.0.bn1", "blocks.0.relu1", "blocks.0.conv2"]
    with torch.inference_mode(), features.capture(network, names) as maps:
        network(pictures(3))
    assert torch.equal(F.max_pool2d(maps["blocks.0.conv1"], 2), maps["blocks.0.pool"])
    assert torch.equal(maps["blocks.0.bn1"].relu(), maps["blocks.0.relu1"])


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"widths": []}, "widths: Value should have at least 1 item"),
        ({"widths": [8, 0]}, r"widths\.1: should be at least 1, not 0"),
        ({"widths": "wide"}, "'convnet' can't be built with"),
        ({"widths": 8}, "'convnet' can't be built with"),
        ({"depth": 3}, "no argument 'depth'"),
    ],
)
def test_arguments_that_it_does_not_take(arguments: dict[str, object], problem: str) -> None:
    with pytest.raises(ArchitectureError, match=problem):
        registry.architecture("convnet").build(10, **arguments)
