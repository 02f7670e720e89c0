"""AlexNet computes what its description says; the smaller one is smaller."""

import math
from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architectures import registry
from models.architectures.registry import ArchitectureError
from models.features import Layer
from models.structure import reading


def outline(name: str) -> list[Layer]:
    """The layers for one picture, without memory for weights or values."""
    architecture = registry.architecture(name)
    with torch.device("meta"):
        network = architecture.build(10).eval()
        return reading.layers(network, torch.empty(1, *architecture.input.shape))


def computed(
    state: dict[str, Tensor],
    x: Tensor,
    convolutions: Sequence[tuple[int, int, int, bool]],
    linear: Sequence[int],
) -> Tensor:
    """Convolutions (layer, stride, padding, is it pooled) and linear layers, ReLU between all."""
    for layer, stride, padding, pooled in convolutions:
        weight, bias = state[f"{layer}.weight"], state[f"{layer}.bias"]
        x = F.relu(F.conv2d(x, weight, bias, stride=stride, padding=padding))
        x = F.max_pool2d(x, 3, stride=2) if pooled else x
    x = x.flatten(1)
    for layer in linear:
        x = F.linear(x, state[f"{layer}.weight"], state[f"{layer}.bias"])
        x = x if layer == linear[-1] else F.relu(x)
    return x


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "convolutions", "linear"),
    [
        (
            "alexnet",
            [
                (0, 4, 1, True),
                (3, 1, 2, True),
                (6, 1, 1, False),
                (8, 1, 1, False),
                (10, 1, 1, True),
            ],
            [14, 17, 20],
        ),
        ("alexnet-small", [(0, 4, 1, True), (3, 1, 1, True), (6, 1, 1, True)], [10, 13]),
    ],
)
def test_forward(
    name: str, convolutions: Sequence[tuple[int, int, int, bool]], linear: Sequence[int]
) -> None:
    pictures = torch.rand(2, 1, 224, 224, generator=torch.Generator().manual_seed(0))
    network = registry.architecture(name).build(10).eval()
    state = network.state_dict()
    assert len(state) == 2 * (len(convolutions) + len(linear))
    with torch.inference_mode():
        expected = computed(state, pictures, convolutions, linear)
        torch.testing.assert_close(network(pictures), expected)


def test_output_shape_of_every_layer() -> None:
    shapes = [(layer.type, layer.output_shape) for layer in outline("alexnet")]
    assert shapes == [
        *(("Conv2d", (96, 54, 54)), ("ReLU", (96, 54, 54)), ("MaxPool2d", (96, 26, 26))),
        *(("Conv2d", (256, 26, 26)), ("ReLU", (256, 26, 26)), ("MaxPool2d", (256, 12, 12))),
        *(("Conv2d", (384, 12, 12)), ("ReLU", (384, 12, 12))),
        *(("Conv2d", (384, 12, 12)), ("ReLU", (384, 12, 12))),
        *(("Conv2d", (256, 12, 12)), ("ReLU", (256, 12, 12)), ("MaxPool2d", (256, 5, 5))),
        ("Flatten", (6400,)),
        *(("Linear", (4096,)), ("ReLU", (4096,))),
        *(("Linear", (4096,)), ("ReLU", (4096,))),
        ("Linear", (10,)),
    ]


def test_number_of_parameters() -> None:
    convolutions = (
        (96 * 11 * 11 + 96)
        + (96 * 256 * 5 * 5 + 256)
        + (256 * 384 * 3 * 3 + 384)
        + (384 * 384 * 3 * 3 + 384)
        + (384 * 256 * 3 * 3 + 256)
    )
    linear = (6400 * 4096 + 4096) + (4096 * 4096 + 4096) + (4096 * 10 + 10)
    assert convolutions + linear == 46_764_746
    assert sum(layer.parameters for layer in outline("alexnet")) == 46_764_746


def multiplications(layers: list[Layer]) -> int:
    """Each weight works once, and that of a convolution at each place of its output."""
    return sum(
        (layer.parameters - layer.output_shape[0]) * math.prod(layer.output_shape[1:])
        for layer in layers
        if layer.parameters
    )


def test_the_smaller_one_has_a_fortieth_of_the_arithmetic_and_a_seventieth_of_the_size() -> None:
    large, small = outline("alexnet"), outline("alexnet-small")
    parameters = sum(layer.parameters for layer in small)
    assert parameters == 672_138
    assert 46_764_746 / parameters == pytest.approx(70, abs=1)
    assert multiplications(large) / multiplications(small) == pytest.approx(40, abs=3)


@pytest.mark.parametrize(("name", "dropouts"), [("alexnet", 2), ("alexnet-small", 1)])
def test_half_of_each_hidden_layer_drops_out(name: str, dropouts: int) -> None:
    with torch.device("meta"):
        network = registry.architecture(name).build(10)
    assert isinstance(network, nn.Sequential)
    drops = [number for number, layer in enumerate(network) if isinstance(layer, nn.Dropout)]
    assert len(drops) == dropouts
    for number in drops:
        assert isinstance(network[number - 2], nn.Linear)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            dropped = network[number].train()(torch.ones(4096))
        assert dropped.unique().tolist() == [0, 2]
        assert 0.45 < (dropped == 0).float().mean().item() < 0.55
        assert torch.equal(network[number].eval()(dropped), dropped)


@pytest.mark.parametrize("name", ["alexnet", "alexnet-small"])
def test_arguments_that_it_does_not_take(name: str) -> None:
    problem = f"'{name}' can't be built with .*no argument 'dropout'"
    with pytest.raises(ArchitectureError, match=problem):
        registry.architecture(name).build(10, dropout=0.1)
