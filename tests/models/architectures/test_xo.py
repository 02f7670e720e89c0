"""The networks for crosses and circles compute what their description says."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import features
from models.architectures import registry
from models.architectures.registry import ArchitectureError
from models.architectures.xo import XO


class Described(nn.Module):
    """The description, word for word; `fc1` reads as many values as the last map has."""

    def __init__(self, channels: list[int], features: int, hidden: tuple[int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels[0], kernel_size=3)
        self.conv2 = nn.Conv2d(channels[0], channels[1], kernel_size=3)
        if len(channels) == 3:
            self.conv3 = nn.Conv2d(channels[1], channels[2], kernel_size=3)
        self.fc1 = nn.Linear(features, hidden[0])
        self.fc2 = nn.Linear(hidden[0], hidden[1])
        self.fc3 = nn.Linear(hidden[1], 2)
        self.pooling = True

    def forward(self, x: Tensor) -> Tensor:
        for name in ("conv1", "conv2", "conv3"):
            if hasattr(self, name):
                x = F.relu(self.get_submodule(name)(x))
                x = F.max_pool2d(x, 2) if self.pooling else x
        x = F.relu(self.fc1(x.flatten(1)))
        logits: Tensor = self.fc3(F.relu(self.fc2(x)))
        return logits


@pytest.fixture
def pictures() -> Tensor:
    return torch.rand(2, 1, 116, 116, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "arguments", "channels", "values", "hidden"),
    [
        ("xo", {}, [9, 5], 3645, (1200, 64)),
        ("xo", {"n_channel": 11}, [11, 5], 3645, (1200, 64)),
        ("xo", {"n_channel": 15}, [15, 5], 3645, (1200, 64)),
        ("xo-three-convolutions", {}, [9, 5, 5], 720, (480, 320)),
        ("xo-three-convolutions", {"third": 3}, [9, 5, 3], 432, (480, 320)),
    ],
)
def test_checkpoints_of_the_description_give_its_logits(
    name: str,
    arguments: dict[str, Any],
    channels: list[int],
    values: int,
    hidden: tuple[int, int],
    pictures: Tensor,
) -> None:
    original = Described(channels, values, hidden).eval()
    network = registry.architecture(name).build(2, **arguments).eval()
    network.load_state_dict(original.state_dict(), strict=True)
    with torch.inference_mode():
        torch.testing.assert_close(network(pictures), original(pictures))


def test_without_pooling_the_maps_keep_their_size(pictures: Tensor) -> None:
    """With 4 values after `fc1`, since with all 1,200 it has 75 million parameters."""
    original = Described([9, 5], 5 * 112 * 112, (4, 64)).eval()
    original.pooling = False
    network = XO(2, (9, 5), (4, 64), pooling=False).eval()
    network.load_state_dict(original.state_dict(), strict=True)
    with torch.inference_mode():
        torch.testing.assert_close(network(pictures), original(pictures))


CONVOLUTIONS = (9 * 9 + 9) + (9 * 5 * 9 + 5)
LINEAR = (3645 * 1200 + 1200) + (1200 * 64 + 64) + (64 * 2 + 2)


@pytest.mark.parametrize(
    ("name", "arguments", "parameters"),
    [
        ("xo", {}, CONVOLUTIONS + LINEAR),  # 4,452,694
        ("xo", {"n_channel": 11}, CONVOLUTIONS + 2 * (9 + 1 + 5 * 9) + LINEAR),  # 4,452,804
        ("xo", {"n_channel": 15}, CONVOLUTIONS + 6 * (9 + 1 + 5 * 9) + LINEAR),  # 4,453,024
        ("xo", {"pooling": False}, CONVOLUTIONS + LINEAR + (5 * 112 * 112 - 3645) * 1200),
        (
            "xo-three-convolutions",
            {},
            CONVOLUTIONS + (5 * 5 * 9 + 5) + 721 * 480 + 481 * 320 + 321 * 2,  # 501,372
        ),
        (
            "xo-three-convolutions",
            {"third": 3},
            CONVOLUTIONS + (5 * 3 * 9 + 3) + 433 * 480 + 481 * 320 + 321 * 2,  # 363,040
        ),
    ],
)
def test_number_of_parameters(name: str, arguments: dict[str, Any], parameters: int) -> None:
    with torch.device("meta"):
        network = registry.architecture(name).build(2, **arguments)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_feature_maps_of_every_step_can_be_captured(pictures: Tensor) -> None:
    network = registry.architecture("xo").build(2).eval()
    names = ["conv1", "relu1", "pool1", "conv2", "relu2", "pool2"]
    with torch.inference_mode(), features.capture(network, names) as maps:
        network(pictures)
    assert torch.equal(maps["relu1"], maps["conv1"].relu())
    assert torch.equal(maps["pool1"], F.max_pool2d(maps["relu1"], 2))
    shapes = [tuple(output.shape[1:]) for output in maps.values()]
    assert shapes == [
        *((9, 114, 114), (9, 114, 114), (9, 57, 57)),
        *((5, 55, 55), (5, 55, 55), (5, 27, 27)),
    ]


@pytest.mark.parametrize("third", [5, 3])
def test_three_convolutions_end_in_maps_of_12_by_12(third: int, pictures: Tensor) -> None:
    network = registry.architecture("xo-three-convolutions").build(2, third=third).eval()
    with torch.inference_mode(), features.capture(network, ["conv3", "pool3"]) as maps:
        network(pictures)
    assert [maps[name].shape[1:] for name in maps] == [(third, 25, 25), (third, 12, 12)]


@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("xo", {"n_channel": 0}, r"n_channel: should be at least 1, not 0"),
        ("xo", {"n_channel": -1}, r"n_channel: should be at least 1, not -1"),
        ("xo", {"channels": 9}, "no argument 'channels'"),
        ("xo-three-convolutions", {"third": 0}, r"third: should be at least 1, not 0"),
        ("xo-three-convolutions", {"n_channel": 9}, "no argument 'n_channel'"),
    ],
)
def test_arguments_that_cannot_be(name: str, arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ArchitectureError, match=f"'{name}' can't be built with .*{problem}"):
        registry.architecture(name).build(2, **arguments)
