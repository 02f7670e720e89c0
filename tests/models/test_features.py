"""What a network computes on its way, by the names of its layers."""

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

from models import features
from models.architectures import registry
from models.features import LayerError
from models.structure import reading
from tests.models.structure.test_reading import Attentive, hooks, layers_of
from tests.networks import Tiny


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


def test_of_several_outputs_the_first_is_captured() -> None:
    network, x = Attentive().eval(), torch.rand(3, 5, 8)
    with features.capture(network, ["attention"]) as activations:
        network(x)
    assert torch.equal(activations["attention"], network.attention(x, x, x)[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(registry.names()))
def test_a_weight_has_the_shape_that_is_told(name: str) -> None:
    architecture = registry.architecture(name)
    network = architecture.build(10).eval()
    for layer in reading.layers(network, torch.zeros(1, *architecture.input.shape)):
        if layer.kernels is None:
            with pytest.raises(LayerError, match=f"'{layer.name}' has no kernels"):
                features.kernels(network, layer)
        else:
            assert tuple(features.kernels(network, layer).shape) == layer.kernels


def test_a_module_called_penultimate_is_captured_as_any_other() -> None:
    network = nn.Sequential(OrderedDict(penultimate=nn.Linear(2, 3), last=nn.Linear(3, 4))).eval()
    batch = torch.rand(1, 2)
    layers = reading.layers(network, batch)
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
    layers = reading.layers(network, batch)
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
    assert features.embedding_layer(reading.layers(squeezed, batch)) == "0"
    assert features.embedding_layer(reading.layers(nn.Sequential(nn.ReLU()), batch)) is None
    layers = reading.layers(squeezed, batch)
    with features.capture(squeezed, [features.PENULTIMATE, "1"], layers) as activations:
        squeezed(batch)
    assert torch.equal(activations[features.PENULTIMATE], batch.flatten(1))
    assert activations["1"].shape == (2, 4, 6, 6)
    assert not any(module._forward_pre_hooks for module in squeezed.modules())
