"""What is built has the size of its weights."""

import pytest
import torch
from torch import nn

from models import checkpoint
from models.allowance import Allowance, TooLargeNetworkError
from models.architectures import registry
from models.checkpoint import CheckpointError
from tests.networks import Tiny

WEIGHTS = dict(Tiny(3).state_dict())


@pytest.mark.parametrize(
    ("architecture", "arguments", "labels"),
    [
        ("tiny", {"n_channel": 10**9}, 3),
        ("mlp", {"hidden": [50_000, 50_000]}, 10),
        ("mlp", {"hidden": [1] * 20_000}, 10),
        ("torchvision/vit_b_16", {"image_size": 16_000}, 10),
        ("torchvision/vgg11", {}, 100_000),
    ],
)
def test_a_network_far_larger_than_its_weights_is_not_built(
    architecture: str, arguments: dict[str, object], labels: int
) -> None:
    with pytest.raises(CheckpointError, match="far larger than the weights, which have 127 values"):
        checkpoint.build(architecture, arguments, labels, WEIGHTS)


def test_nothing_is_allocated_before_it_is_refused() -> None:
    with Allowance(WEIGHTS), pytest.raises(TooLargeNetworkError):
        torch.empty(2**50)  # more than there is


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["torchvision/resnet18", "torchvision/swin_t", "torchvision/vit_b_16", "alexnet"]
)
def test_whole_networks_fit(name: str) -> None:
    network = registry.architecture(name).build(10)
    checkpoint.build(name, {}, 10, network.state_dict())


def test_shared_weights_count_once() -> None:
    value = torch.zeros(2**20)
    with Allowance({str(number): value for number in range(1000)}):
        nn.Linear(1024, 1024)
        with pytest.raises(TooLargeNetworkError):
            nn.Linear(8192, 8192)
