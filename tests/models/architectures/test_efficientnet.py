"""EfficientNet-Lite0 has the layers, the padding and the answers of the published one."""

import pytest
import torch
import torch.nn.functional as F

from models import features
from models.architectures import registry
from models.architectures.efficientnet import SameConv2d

NAME = "efficientnet-lite0"


def test_as_many_parameters_as_published() -> None:
    network = registry.architecture(NAME).build(1000)
    assert sum(parameter.numel() for parameter in network.parameters()) == 4_652_008


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "sizes"),
    [(224, [112, 112, 56, 28, 14, 14, 7, 7, 7]), (97, [49, 49, 25, 13, 7, 7, 4, 4, 4])],
)
def test_the_shapes_of_the_stages(size: int, sizes: list[int]) -> None:
    network = registry.architecture(NAME).build(7).eval()
    names = ["stem", *(f"stages.{number}" for number in range(7)), "top"]
    with torch.inference_mode(), features.capture(network, names) as maps:
        logits = network(torch.zeros(2, 3, size, 224))
    assert [maps[name].shape[2] for name in names] == sizes
    assert [maps[name].shape[3] for name in names] == [112, 112, 56, 28, 14, 14, 7, 7, 7]
    assert [maps[name].shape[1] for name in names] == [32, 16, 24, 40, 80, 112, 192, 320, 1280]
    assert logits.shape == (2, 7)


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 2, 7, 8])
def test_an_odd_padding_is_larger_at_the_right_and_the_bottom(
    kernel: int, stride: int, size: int
) -> None:
    convolution = SameConv2d(2, 2, kernel, stride, groups=2)
    x = torch.randn(1, 2, size, 9)
    sides = []
    for length in (9, size):  # the last dimension comes first
        total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
        sides += [total // 2, total - total // 2]
    expected = F.conv2d(F.pad(x, sides), convolution.weight, stride=stride, groups=2)
    assert torch.allclose(convolution(x), expected, atol=1e-6)
    assert convolution(x).shape[2:] == (-(-size // stride), -(-9 // stride))


@pytest.mark.slow
def test_the_same_answers_as_the_network_that_the_weights_were_saved_from() -> None:
    """With random weights and statistics, by the names' order; no file of weights is needed."""
    theirs = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet.from_name(NAME).eval()
    own = registry.architecture(NAME).build(1000).eval()
    generator = torch.Generator().manual_seed(0)
    for name, value in theirs.state_dict().items():
        if name.endswith(("running_mean", "bias")):
            value.copy_(0.1 * torch.randn(value.shape, generator=generator))
    own.load_state_dict(dict(zip(own.state_dict(), theirs.state_dict().values(), strict=True)))
    batch = torch.randn(2, 3, 224, 224, generator=generator)
    with torch.inference_mode():
        expected = theirs(batch)
        assert expected.std() > 0
        assert torch.allclose(own(batch), expected, rtol=1e-4, atol=1e-5)
