"""LeNet computes what its description says."""

import torch
import torch.nn.functional as F

from models import registry


def test_forward() -> None:
    network = registry.architecture("lenet").build(10).eval()
    pictures = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    state = network.state_dict()
    x = F.conv2d(pictures, state["conv1.weight"], state["conv1.bias"], padding=2)
    x = F.max_pool2d(F.relu(x), 2)
    x = F.max_pool2d(F.relu(F.conv2d(x, state["conv2.weight"], state["conv2.bias"])), 2).flatten(1)
    x = F.relu(F.linear(x, state["fc1.weight"], state["fc1.bias"]))
    x = F.relu(F.linear(x, state["fc2.weight"], state["fc2.bias"]))
    expected = F.linear(x, state["fc3.weight"], state["fc3.bias"])
    with torch.inference_mode():
        torch.testing.assert_close(network(pictures), expected)


def test_pixels_are_normalised_to_minus_one_and_one() -> None:
    pixels = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
    normalised = registry.architecture("lenet").input.normalize(pixels)
    assert normalised.flatten().tolist() == [-1, 1]
