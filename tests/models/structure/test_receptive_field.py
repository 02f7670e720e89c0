"""How many pixels a layer sees, measured, against what kernels and strides say."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from models.architectures import registry
from models.features import PENULTIMATE, Layer, OpaqueNetwork
from models.structure import reading, receptive_field
from models.structure.receptive_field import ReceptiveField
from models.torchvision_import import torchvision


def fields(network: nn.Module, image: tuple[int, int, int]) -> dict[str, ReceptiveField]:
    structure = reading.read(network.eval(), torch.rand(1, *image))
    return receptive_field.measure(network, image, list(structure.outputs().values()))


def pair(value: int | tuple[int, int]) -> int:
    return value if isinstance(value, int) else value[0]


def by_formula(network: nn.Module) -> dict[str, tuple[int, int]]:
    """Side and jump of each convolution and pooling of a network without branches.

    Araujo et al. 2019: the side grows by (kernel - 1) · dilation jumps, the jump by the stride.
    """
    side, jump = 1, 1
    found = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            side += (pair(module.kernel_size) - 1) * pair(getattr(module, "dilation", 1)) * jump  # type: ignore[arg-type]
            jump *= pair(module.stride)  # type: ignore[arg-type]
            found[name] = side, jump
    return found


@pytest.mark.parametrize(
    "name",
    ["xo", "xo-three-convolutions", "lenet", "lenet-plain", "mnist-cnn", "birdplane-batchnorm"],
)
def test_networks_without_branches_have_the_field_of_the_formula(name: str) -> None:
    architecture = registry.architecture(name)
    network = architecture.build(2)
    found = fields(network, architecture.input_for({}).shape)
    for layer, (side, jump) in by_formula(network).items():
        assert (found[layer].height, found[layer].width) == (side, side), layer
        assert found[layer].jump == (jump, jump), layer


def test_dilated_kernels_and_sides_that_differ() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, (3, 1), dilation=2), nn.ReLU(), nn.Conv2d(4, 4, 3, stride=(1, 2))
    )
    found = fields(network, (3, 40, 50))
    assert found["0"] == ReceptiveField(5, 1, (40, 50), (1, 1))
    assert found["1"] == found["0"]
    assert found["2"] == ReceptiveField(7, 3, (40, 50), (1, 2))
    assert str(found["2"]) == "7×3 pixels of 40×50"


@pytest.mark.slow
def test_blocks_of_a_residual_network() -> None:
    """Sides by the formula for ResNet-18: 43, 99, and then 211 and 435, which are cut off."""
    network = torchvision("models").resnet18(weights=None)
    found = fields(network, (3, 224, 224))
    sides = {name: found[name].height for name in ("conv1", "maxpool", "layer1", "layer2")}
    assert sides == {"conv1": 7, "maxpool": 11, "layer1": 43, "layer2": 99}
    assert 190 < found["layer3"].height < 211
    assert found["layer2.0.downsample.0"].height == found["layer1"].height  # kernels of one pixel
    assert [found[f"layer{n}"].level for n in range(1, 5)] == ["low", "middle", "high", "high"]
    assert str(found["layer4"]) == "224×224 pixels of 224×224"
    assert set(found) >= {"avgpool", "fc", PENULTIMATE}


class Attention(nn.Module):
    """Patches of 4×4 pixels, each of which attends to all."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.norm = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.fc = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(self.patches(x).flatten(2).mT)
        mixed, _ = self.attention(tokens, tokens, tokens)
        logits: Tensor = self.fc(mixed.mean(1))
        return logits


def test_attention_sees_the_whole_image() -> None:
    found = fields(Attention(), (3, 32, 32))
    assert str(found["patches"]) == str(found["norm"]) == "4×4 pixels of 32×32"
    assert {str(found[name]) for name in ("attention", "fc")} == {"32×32 pixels of 32×32"}


@pytest.mark.slow
@pytest.mark.thorough
def test_windows_and_what_is_shifted_between_them() -> None:
    """Windows of 7×7 patches of 4×4 pixels; shifted ones see four of them."""
    found = fields(torchvision("models").swin_t(weights=None), (3, 224, 224))
    sides = [found[f"features.{name}"].height for name in ("0.0", "1.0.attn", "1.1.attn")]
    assert sides == [4, 28, 56]


class Gated(nn.Module):
    """Squeeze-and-excitation, and a learned scale that starts with 0."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1), nn.Sigmoid())
        self.scale = nn.Parameter(torch.zeros(4, 1, 1))
        self.norm = nn.GroupNorm(1, 4)
        self.last = nn.Conv2d(4, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = self.norm(x * self.gate(x) * self.scale)
        logits: Tensor = self.last(x).amax((2, 3))
        return logits


def test_gates_and_statistics_of_the_whole_image_do_not_count() -> None:
    found = fields(Gated(), (3, 20, 20))
    assert [found[name].height for name in ("conv", "norm", "last")] == [3, 3, 5]
    assert found["gate"].height == 20


def test_weights_and_units_that_are_not_active_do_not_matter() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(2, 2, 3))
    before = fields(network, (1, 20, 20))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(-1)  # every unit is dead
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    assert fields(network, (1, 20, 20)) == before
    assert all(torch.equal(weights[name], v) for name, v in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("side", "level"), [(1, "low"), (7, "low"), (8, "middle"), (16, "middle"), (17, "high")]
)
def test_the_level_is_the_share_of_the_longer_side(side: int, level: str) -> None:
    assert ReceptiveField(1, side, (32, 32)).level == level
    assert ReceptiveField(side, 1, (32, 32)).level == level


def test_pooling_that_tells_where_the_maximum_was() -> None:
    class Unpooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.MaxPool2d(2, return_indices=True)
            self.dilated = nn.MaxPool2d(2, 1, dilation=3)
            self.last = nn.Conv2d(1, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            values, places = self.pool(x)
            assert values.shape == places.shape
            logits: Tensor = self.last(self.dilated(values)).mean((2, 3))
            return logits

    found = fields(Unpooled(), (1, 30, 30))
    assert found["pool"].height == 2
    assert found["dilated"].height <= 8  # of which the largest is found alone


class Argmax(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.fc = nn.Linear(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.conv(x).flatten(1).argmax(1, keepdim=True).float())
        return logits


def test_what_the_image_has_no_gradient_for_has_no_field() -> None:
    assert set(fields(Argmax(), (1, 8, 8))) == {"conv"}


def test_a_large_network_is_measured_without_the_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its layers and blocks keep more values for two images than they may."""
    architecture = registry.architecture("resnet")
    network, shape = architecture.build(2).eval(), architecture.input_for({}).shape
    structure = reading.read(network, torch.rand(1, *shape))
    outputs = (*structure.layers, *structure.blocks)
    usual = receptive_field.measure(network, shape, outputs)
    values = sum(math.prod(each.output_shape) for each in structure.layers)
    assert any(each.jump for each in usual.values())
    monkeypatch.setattr(receptive_field, "MAX_VALUES", values)
    found = receptive_field.measure(network, shape, outputs)
    assert found == {name: replace(field, jump=None) for name, field in usual.items()}
    monkeypatch.setattr(receptive_field, "MAX_VALUES", values - 1)
    assert receptive_field.measure(network, shape, outputs) == {}


def test_an_imported_graph_has_no_fields() -> None:
    layers = [Layer("0", "Conv", (2, 6, 6), 20, 0)]
    assert receptive_field.measure(OpaqueNetwork(), (1, 8, 8), layers) == {}


def test_a_forward_pass_that_fails_has_no_fields() -> None:
    layers = [Layer("0", "Conv2d", (2, 6, 6), 20, 0)]
    assert receptive_field.measure(nn.Sequential(nn.Conv2d(3, 2, 3)), (1, 8, 8), layers) == {}
