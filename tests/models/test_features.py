"""What a network computes on its way, by the names of its layers."""

from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models import features
from models.architectures import registry
from models.features import Layer, LayerError
from tests.networks import Tiny


@pytest.fixture
def network() -> Tiny:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Tiny(3).eval()


@pytest.fixture
def batch() -> Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def briefly(layers: list[Layer]) -> list[tuple[Any, ...]]:
    """Name, type, shapes, parameters, multiply-adds."""
    return [
        (x.name, x.type, x.input_shape, x.output_shape, x.parameters, x.multiply_adds)
        for x in layers
    ]


def hooks(network: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in network.modules())


def test_capture_gives_what_the_layers_give(network: Tiny, batch: Tensor) -> None:
    with features.capture(network, ["relu", "fc"]) as activations:
        logits = network(batch)
    assert list(activations) == ["relu", "fc"]
    assert torch.equal(activations["relu"], torch.relu(network.conv(batch)))
    assert torch.equal(activations["fc"], logits)


def test_capture_equals_a_hook_registered_by_hand(network: Tiny, batch: Tensor) -> None:
    seen: list[Tensor] = []
    handle = network.conv.register_forward_hook(lambda _module, _inputs, out: seen.append(out))
    with features.capture(network, ["conv"]) as activations:
        network(batch)
    handle.remove()
    assert torch.equal(activations["conv"], seen[0])


def test_what_is_captured_hangs_on_no_graph(network: Tiny, batch: Tensor) -> None:
    with features.capture(network, ["conv"]) as activations:
        assert network(batch).requires_grad
    assert not activations["conv"].requires_grad


def test_capture_does_not_change_the_logits(network: Tiny, batch: Tensor) -> None:
    plain = network(batch)
    with features.capture(network, ["conv", "relu", "pool", "fc"]):
        assert torch.equal(network(batch), plain)


def test_each_pass_inside_the_block_replaces_the_last(network: Tiny, batch: Tensor) -> None:
    with features.capture(network, ["conv"]) as activations:
        network(batch)
        network(batch[:1] + 1)
    assert torch.equal(activations["conv"], network.conv(batch[:1] + 1))


def test_passes_after_the_block_are_not_recorded(network: Tiny, batch: Tensor) -> None:
    with features.capture(network, ["conv"]) as activations:
        pass
    network(batch)
    assert activations == {}
    assert hooks(network) == 0


def test_no_hook_stays_after_an_exception(network: Tiny) -> None:
    with pytest.raises(RuntimeError, match="channels"), features.capture(network, ["conv", "fc"]):
        network(torch.zeros(1, 2, 8, 8))
    assert hooks(network) == 0


@pytest.mark.parametrize("name", ["conv9", "", "conv.weight"])
def test_an_unknown_layer_lists_what_there_is(network: Tiny, name: str) -> None:
    with (
        pytest.raises(LayerError, match=f"no layer '{name}'; .*there are conv, relu, pool, fc"),
        features.capture(network, ["conv", name]),
    ):
        pass
    assert hooks(network) == 0


def test_a_layer_in_place_does_not_change_what_was_captured_before_it(batch: Tensor) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True)).eval()
    with features.capture(network, ["0", "1"]) as activations:
        network(batch)
    assert activations["0"].min() < 0
    assert torch.equal(activations["0"].relu(), activations["1"])


def test_modules_inside_modules_are_named_by_their_path() -> None:
    network = registry.architecture("mnist-cnn").build(10).eval()
    with features.capture(network, ["conv1", "conv1.2"]) as activations:
        network(torch.zeros(1, 1, 28, 28))
    assert torch.equal(activations["conv1"], activations["conv1.2"])


def test_layers_come_in_the_order_of_the_forward_pass() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(4, 2, bias=False)
            self.first = nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.last(self.first(x))
            return logits

    assert briefly(features.layers(Backwards().eval(), torch.zeros(5, 3))) == [
        ("first", "Linear", (3,), (4,), 16, 12),
        ("last", "Linear", (4,), (2,), 8, 8),
    ]


def test_layers_tell_type_shape_parameters_and_arithmetic(network: Tiny, batch: Tensor) -> None:
    of_conv = 4 * 8 * 8 * 3 * 3 * 3
    assert briefly(features.layers(network, batch)) == [
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

    [fc] = features.layers(Twice().eval(), torch.zeros(5, 3))
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
    assert briefly(features.layers(Attentive().eval(), torch.zeros(3, 5, 8))) == [
        ("attention", "MultiheadAttention", (5, 8), (5, 8), parameters, multiply_adds),
        ("fc", "Linear", (8,), (2,), 18, 16),
    ]


def test_of_several_outputs_the_first_is_captured() -> None:
    network, x = Attentive().eval(), torch.rand(3, 5, 8)
    with features.capture(network, ["attention"]) as activations:
        network(x)
    assert torch.equal(activations["attention"], network.attention(x, x, x)[0])


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

    layers = features.layers(Network().eval(), torch.zeros(1, 3))
    assert [layer.name for layer in layers] == ["fc"]


def test_no_hook_stays_where_layers_can_not_be_told(network: Tiny) -> None:
    with pytest.raises(RuntimeError, match="channels"):
        features.layers(network, torch.zeros(1, 2, 8, 8))
    assert hooks(network) == 0
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_arithmetic_of_lenet_by_hand() -> None:
    layers = features.layers(
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
    layers = features.layers(
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
    names = [layer.name for layer in features.layers(network, torch.zeros(1, 3, 8, 8))]
    assert names == ["0", "5"]


def test_layers_that_the_forward_pass_misses_are_left_out(network: Tiny, batch: Tensor) -> None:
    network.unused = nn.Linear(2, 2)
    assert "unused" not in [layer.name for layer in features.layers(network, batch)]


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
    layers = features.layers(architecture.build(2).eval(), blank)
    assert [layer.name for layer in layers] == expected.split()


def layers_of(name: str, **arguments: Any) -> dict[str, Layer]:
    architecture = registry.architecture(name)
    network = architecture.build(10, **arguments).eval()
    return {x.name: x for x in features.layers(network, torch.zeros(1, *architecture.input.shape))}


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


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(registry.names()))
def test_a_weight_has_the_shape_that_is_told(name: str) -> None:
    architecture = registry.architecture(name)
    network = architecture.build(10).eval()
    for layer in features.layers(network, torch.zeros(1, *architecture.input.shape)):
        if layer.kernels is None:
            with pytest.raises(LayerError, match=f"'{layer.name}' has no kernels"):
                features.kernels(network, layer)
        else:
            assert tuple(features.kernels(network, layer).shape) == layer.kernels


def test_a_module_called_penultimate_is_captured_as_any_other() -> None:
    network = nn.Sequential(OrderedDict(penultimate=nn.Linear(2, 3), last=nn.Linear(3, 4))).eval()
    batch = torch.rand(1, 2)
    layers = features.layers(network, batch)
    with features.capture(network, [features.PENULTIMATE], layers) as activations:
        network(batch)
    assert activations[features.PENULTIMATE].shape == (1, 3)
    assert features.shapes(layers)[features.PENULTIMATE] == (3,)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(registry.names()))
def test_what_can_be_captured_has_the_shape_that_is_told(name: str) -> None:
    """Every name, `penultimate` too, of every architecture."""
    architecture = registry.architecture(name)
    network = architecture.build(10).eval()
    batch = torch.zeros(1, *architecture.input.shape)
    layers = features.layers(network, batch)
    told = features.shapes(layers)
    assert features.PENULTIMATE in told
    with features.capture(network, list(told), layers) as activations, torch.inference_mode():
        network(batch)
    assert {each: tuple(value.shape[1:]) for each, value in activations.items()} == told


@pytest.mark.parametrize("name", ["", "penultimate", "absent"])
def test_what_the_network_does_not_have_is_no_layer(name: str) -> None:
    """Also `penultimate` without layers to tell which, and the network as a whole."""
    with (
        pytest.raises(features.LayerError, match=f"no layer '{name}'; there are 0"),
        features.capture(nn.Sequential(nn.Linear(1, 1)), [name]),
    ):
        pass


def test_the_embedding_is_what_the_last_layer_with_parameters_takes() -> None:
    assert features.embedding_layer(list(layers_of("mnist-cnn").values())) == "out"
    squeezed = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1)).eval()
    batch = torch.rand(2, 3, 8, 8)
    assert features.embedding_layer(features.layers(squeezed, batch)) == "0"
    assert features.embedding_layer(features.layers(nn.Sequential(nn.ReLU()), batch)) is None
    layers = features.layers(squeezed, batch)
    with features.capture(squeezed, [features.PENULTIMATE, "1"], layers) as activations:
        squeezed(batch)
    assert torch.equal(activations[features.PENULTIMATE], batch.flatten(1))
    assert activations["1"].shape == (2, 4, 6, 6)
    assert not any(module._forward_pre_hooks for module in squeezed.modules())
