"""The residual network computes what its description says, under the names of its book."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import features
from models.architectures import registry
from models.architectures.registry import ArchitectureError


class Residual(nn.Module):
    """The book's block: `conv3` only where its input must change its shape."""

    def __init__(self, channels_in: int, channels: int, project: bool, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, kernel_size=3, padding=1, stride=stride)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.conv3 = nn.Conv2d(channels_in, channels, 1, stride=stride) if project else None
        self.bn1 = nn.BatchNorm2d(channels)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.conv3:
            x = self.conv3(x)
        y += x
        return F.relu(y)


def stage(channels_in: int, channels: int, *, first: bool = False) -> nn.Sequential:
    return nn.Sequential(
        Residual(channels_in, channels, project=not first, stride=1 if first else 2),
        Residual(channels, channels, project=False, stride=1),
    )


def described(pictures: Tensor) -> nn.Sequential:
    """With random weights, and statistics of the pictures for its batch normalisation."""
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(1)
        stem = nn.Sequential(
            nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        )
        network = nn.Sequential(
            *(stem, stage(64, 64, first=True), stage(64, 128), stage(128, 256)),
            *(nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(256, 10)),
        )
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
        network.train()(pictures * 2)
    return network.eval()


@pytest.mark.slow
def test_checkpoints_of_the_description_give_its_logits() -> None:
    pictures = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    original = described(pictures)
    network = registry.architecture("resnet").build(10).eval()
    network.load_state_dict(original.state_dict(), strict=True)
    with torch.inference_mode():
        torch.testing.assert_close(network(pictures), original(pictures))


def test_number_of_parameters() -> None:
    def convolution(channels_in: int, channels: int, side: int) -> int:
        return channels_in * channels * side * side + channels

    def normalised(channels_in: int, channels: int) -> int:
        return convolution(channels_in, channels, 3) + 2 * channels

    expected = convolution(1, 64, 7) + 2 * 64 + 4 * normalised(64, 64)
    for before, channels in ((64, 128), (128, 256)):
        expected += normalised(before, channels) + 3 * normalised(channels, channels)
        expected += convolution(before, channels, 1)
    expected += 256 * 10 + 10
    network = registry.architecture("resnet").build(10)
    assert sum(parameter.numel() for parameter in network.parameters()) == expected == 2_780_554


@pytest.mark.slow
def test_each_stage_halves_the_map_and_doubles_the_channels() -> None:
    network = registry.architecture("resnet").build(10).eval()
    with torch.inference_mode(), features.capture(network, ["0", "1", "2", "3", "4"]) as stages:
        network(torch.zeros(1, 1, 28, 28))
    shapes = [tuple(output.shape[1:]) for output in stages.values()]
    assert shapes == [(64, 7, 7), (64, 7, 7), (128, 4, 4), (256, 2, 2), (256, 1, 1)]


@pytest.mark.slow
def test_layers_inside_a_block_can_be_captured() -> None:
    """Every ReLU is a layer of its own, so that what was added can be seen before and after."""
    network = registry.architecture("resnet").build(10).eval()
    picture = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    names = ["2.0", "2.0.relu2", "2.0.bn2", "2.0.conv3", "2.1.conv3"]
    with torch.inference_mode(), features.capture(network, names) as activations:
        network(picture)
    summed = (activations["2.0.bn2"] + activations["2.0.conv3"]).relu()
    assert torch.equal(activations["2.0.relu2"], summed)
    assert torch.equal(activations["2.1.conv3"], activations["2.0"])  # nothing but the input


def test_arguments_that_it_does_not_take() -> None:
    problem = "'resnet' can't be built with .*no argument 'depth'"
    with pytest.raises(ArchitectureError, match=problem):
        registry.architecture("resnet").build(10, depth=18)
