"""What a network is made of: layers, blocks, the meaning of their outputs."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, relu

from models import features
from models.architectures import registry
from models.features import Layer
from models.structure import reading
from models.structure.axes import TOKENS
from tests.networks import Tiny


def briefly(layers: list[Layer]) -> list[tuple[Any, ...]]:
    """Name, type, shapes, parameters, multiply-adds."""
    return [
        (x.name, x.type, x.input_shape, x.output_shape, x.parameters, x.multiply_adds)
        for x in layers
    ]


def hooks(network: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in network.modules())


def test_layers_come_in_the_order_of_the_forward_pass() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(4, 2, bias=False)
            self.first = nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.last(self.first(x))
            return logits

    assert briefly(reading.layers(Backwards().eval(), torch.zeros(5, 3))) == [
        ("first", "Linear", (3,), (4,), 16, 12),
        ("last", "Linear", (4,), (2,), 8, 8),
    ]


def test_layers_tell_type_shape_parameters_and_arithmetic(network: Tiny, batch: Tensor) -> None:
    of_conv = 4 * 8 * 8 * 3 * 3 * 3
    assert briefly(reading.layers(network, batch)) == [
        ("conv", "Conv2d", (3, 8, 8), (4, 8, 8), 112, of_conv),
        ("relu", "ReLU", (4, 8, 8), (4, 8, 8), 0, 0),
        ("pool", "AdaptiveAvgPool2d", (4, 8, 8), (4, 1, 1), 0, 0),
        ("fc", "Linear", (4,), (3,), 15, 4 * 3),
    ]
    assert hooks(network) == 0


def test_a_layer_that_is_called_twice_computes_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.fc(self.fc(x))
            return logits

    [fc] = reading.layers(Twice().eval(), torch.zeros(5, 3))
    assert (fc.parameters, fc.multiply_adds) == (12, 18)


class Attentive(nn.Module):
    """Attention calls none of its parts, and answers with a pair."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, num_heads=2, batch_first=True)
        self.fc = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x, _weights = self.attention(x, x, x)
        logits: Tensor = self.fc(x.mean(1))
        return logits


def test_attention_is_one_layer() -> None:
    projections, products = 4 * 8 * 8 * 5, 2 * 5 * 5 * 8
    parameters, multiply_adds = 4 * (8 * 8 + 8), projections + products
    assert briefly(reading.layers(Attentive().eval(), torch.zeros(3, 5, 8))) == [
        ("attention", "MultiheadAttention", (5, 8), (5, 8), parameters, multiply_adds),
        ("fc", "Linear", (8,), (2,), 18, 16),
    ]


def test_modules_that_give_no_tensor_are_no_layers() -> None:
    class Named(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"x": x}

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.named = Named()
            self.fc = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.fc(self.named(x)["x"])
            return logits

    layers = reading.layers(Network().eval(), torch.zeros(1, 3))
    assert [layer.name for layer in layers] == ["fc"]


def test_no_hook_stays_where_layers_can_not_be_told(network: Tiny) -> None:
    with pytest.raises(RuntimeError, match="channels"):
        reading.layers(network, torch.zeros(1, 2, 8, 8))
    assert hooks(network) == 0
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_arithmetic_of_lenet_by_hand() -> None:
    layers = reading.layers(
        registry.architecture("lenet").build(10).eval(), torch.zeros(1, 1, 28, 28)
    )
    assert {layer.name: layer.multiply_adds for layer in layers if layer.parameters} == {
        "conv1": 28 * 28 * 6 * 5 * 5,
        "conv2": 10 * 10 * 16 * 6 * 5 * 5,
        "fc1": 16 * 5 * 5 * 120,
        "fc2": 120 * 84,
        "fc3": 84 * 10,
    }


@pytest.mark.slow
def test_arithmetic_of_alexnet_by_hand() -> None:
    layers = reading.layers(
        registry.architecture("alexnet").build(10).eval(), torch.zeros(1, 1, 224, 224)
    )
    assert [layer.multiply_adds for layer in layers if layer.parameters] == [
        54 * 54 * 96 * 11 * 11,
        26 * 26 * 256 * 96 * 5 * 5,
        12 * 12 * 384 * 256 * 3 * 3,
        12 * 12 * 384 * 384 * 3 * 3,
        12 * 12 * 256 * 384 * 3 * 3,
        6400 * 4096,
        4096 * 4096,
        4096 * 10,
    ]


def test_layers_that_do_nothing_in_evaluation_are_left_out() -> None:
    idle = [nn.Identity(), nn.Dropout(), nn.Dropout2d(), nn.AlphaDropout()]
    network = nn.Sequential(nn.Conv2d(3, 4, 3), *idle, nn.ReLU()).eval()
    names = [layer.name for layer in reading.layers(network, torch.zeros(1, 3, 8, 8))]
    assert names == ["0", "5"]


def test_layers_that_the_forward_pass_misses_are_left_out(network: Tiny, batch: Tensor) -> None:
    network.unused = nn.Linear(2, 2)
    assert "unused" not in [layer.name for layer in reading.layers(network, batch)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("birdplane-dropout", "conv1 pool1 tanh1 conv2 pool2 tanh2 fc1 tanh3 fc2"),
        (
            "birdplane-batchnorm",
            "conv1 conv1_batchnorm pool1 tanh1 conv2 conv2_batchnorm pool2 tanh2 fc1 tanh3 fc2",
        ),
        ("mnist-cnn", "conv1.0 conv1.1 conv1.2 conv2.0 conv2.1 conv2.2 out"),
    ],
)
def test_layers_of_the_built_in_networks(name: str, expected: str) -> None:
    architecture = registry.architecture(name)
    blank = torch.zeros(1, *architecture.input.shape)
    layers = reading.layers(architecture.build(2).eval(), blank)
    assert [layer.name for layer in layers] == expected.split()


def layers_of(name: str, **arguments: Any) -> dict[str, Layer]:
    architecture = registry.architecture(name)
    network = architecture.build(10, **arguments).eval()
    return {x.name: x for x in reading.layers(network, torch.zeros(1, *architecture.input.shape))}


def test_layers_tell_what_they_were_built_with() -> None:
    conv = layers_of("mnist-cnn")["conv1.0"]
    assert conv.arguments["kernel_size"] == [5, 5]
    assert conv.arguments["padding"] == [2, 2]
    assert layers_of("mlp")["0"].arguments == {"in_features": 784, "out_features": 1000}


@pytest.mark.parametrize(
    ("name", "layer", "kernels"),
    [
        ("mnist-cnn", "conv1.0", (16, 1, 5, 5)),
        ("mnist-cnn", "conv1.1", None),
        ("mnist-cnn", "out", (10, 32, 7, 7)),
        ("mlp", "0", (1000, 1, 28, 28)),
        ("mlp", "2", (10, 1000)),
        ("lenet", "fc1", (120, 16, 5, 5)),
        ("lenet", "fc2", (84, 120)),
        ("convnet", "fc", (10, 128)),
    ],
)
def test_kernels_have_the_shape_of_what_they_look_at(
    name: str, layer: str, kernels: tuple[int, ...] | None
) -> None:
    assert layers_of(name)[layer].kernels == kernels


def test_blocks_and_what_lies_between_layers_are_told() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return relu(self.conv(x) + x)

    network = nn.Sequential(Residual(), nn.Flatten(), nn.Linear(48, 2)).eval()
    found = reading.read(network, torch.zeros(1, 3, 4, 4))
    assert [(each.name, each.type, each.maps) for each in found.blocks] == [
        ("0", "Residual", (3, 4, 4))
    ]
    assert found.between == ("add", "relu")
    assert [each.calls for each in found.layers] == [1, 1, 1]
    assert [*found.outputs()] == ["0.conv", "1", "2", "0", features.PENULTIMATE]


def test_a_layer_that_is_called_twice_says_so() -> None:
    conv = nn.Conv2d(3, 3, 1)
    network = nn.Sequential(conv, conv, nn.Flatten(), nn.Linear(48, 2)).eval()
    [first, *_] = reading.layers(network, torch.zeros(1, 3, 4, 4))
    assert (first.name, first.calls) == ("0", 2)


def test_a_linear_layer_with_rows_and_columns_is_no_convolution() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.out = nn.Linear(3, 5), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.out(self.linear(x.permute(0, 2, 3, 1)).mean((1, 2)))
            return logits

    network, batch = Last().eval(), torch.rand(2, 3, 4, 6)
    linear, _out = reading.layers(network, batch)
    assert not linear.is_convolution
    assert linear.maps == (5, 4, 6)
    with features.capture(network, ["linear"]) as seen:
        network(batch)
    expected = linear_by_hand(network.linear, batch)
    torch.testing.assert_close(features.maps(linear, seen["linear"]), expected)


def linear_by_hand(layer: nn.Linear, batch: Tensor) -> Tensor:
    """As a convolution of 1×1, (N, C, H, W)."""
    return conv2d(batch, layer.weight[:, :, None, None], layer.bias)


def test_tokens_as_maps_are_laid_row_by_row() -> None:
    tokens = Layer("a", "Linear", (7, 2), 0, 0, axes=TOKENS, maps=(2, 2, 3))
    values = torch.arange(14.0).reshape(1, 7, 2)
    expected = [[[2, 4, 6], [8, 10, 12]], [[3, 5, 7], [9, 11, 13]]]
    assert features.maps(tokens, values).tolist() == [expected]


def test_a_layer_without_maps_has_none() -> None:
    with pytest.raises(features.LayerError, match="'fc' gives no maps"):
        features.maps(Layer("fc", "Linear", (7,), 0, 0), torch.zeros(1, 7))
