"""What is built has the size of its weights."""

import pytest
import torch
from torch import nn

from models import checkpoint
from models.architectures import registry
from models.checkpoint import CheckpointError
from models.checkpoint.allowance import ActivationLimit, Allowance, TooLargeNetworkError
from models.preprocessing import InputSpec
from tests.networks import Tiny

WEIGHTS = dict(Tiny(3).state_dict())


@pytest.mark.slow
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
        checkpoint.build(registry.architecture(architecture), arguments, labels, WEIGHTS)


def test_nothing_is_allocated_before_it_is_refused() -> None:
    with Allowance(WEIGHTS), pytest.raises(TooLargeNetworkError):
        torch.empty(2**50)  # more than there is


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["torchvision/resnet18", "torchvision/swin_t", "torchvision/vit_b_16", "alexnet"]
)
def test_whole_networks_fit(name: str) -> None:
    network = registry.architecture(name).build(10)
    checkpoint.build(registry.architecture(name), {}, 10, network.state_dict())


def test_shared_weights_count_once() -> None:
    value = torch.zeros(2**20)
    with Allowance({str(number): value for number in range(1000)}):
        nn.Linear(1024, 1024)
        with pytest.raises(TooLargeNetworkError):
            nn.Linear(8192, 8192)


def largest_taken(operator: nn.Module, *shape: int) -> int:
    """Bytes of the largest result of the operator on zeros of that shape."""
    image = torch.zeros(shape)
    with torch.inference_mode():
        size = operator(image).numel() * 4
        with ActivationLimit(size):
            operator(image)
        with ActivationLimit(size - 1), pytest.raises(TooLargeNetworkError, match="MiB inside it"):
            operator(image)
    return int(size)


@pytest.mark.parametrize(
    "operator",
    [
        nn.Conv2d(3, 8, 3),
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.Conv2d(3, 8, 3, padding="same"),
        nn.Conv2d(3, 8, 3, padding=9),
        nn.Conv2d(3, 6, 1, groups=3),
        nn.ConvTranspose2d(3, 8, 2, stride=2),
        nn.Upsample(scale_factor=3),
        nn.Flatten(),
        nn.ZeroPad2d(5),
        nn.Sequential(nn.ReLU(), nn.Conv2d(3, 8, 3)),
    ],
    ids=repr,
)
def test_the_size_of_a_result_is_limited(operator: nn.Module) -> None:
    largest_taken(operator, 1, 3, 12, 20)


def test_a_convolution_is_refused_before_it_allocates() -> None:
    convolution = nn.Conv2d(1, 2**16, 1)
    image = torch.zeros(1, 1, 4096, 4096)  # the result would have 4 TiB
    with torch.inference_mode(), ActivationLimit(), pytest.raises(TooLargeNetworkError):
        convolution(image)


@pytest.mark.slow
def test_an_input_for_which_a_network_is_too_large_is_refused() -> None:
    network = registry.architecture("torchvision/resnet18").build(3).eval()
    with pytest.raises(CheckpointError, match=r"977 MiB inside it.*take a smaller input"):
        checkpoint.trial(network, InputSpec(channels=3, height=4000, width=4000), 3)
