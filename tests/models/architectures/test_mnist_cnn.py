"""The network for digits computes what its description says."""

import torch
import torch.nn.functional as F

from models.architectures import registry


def test_forward() -> None:
    network = registry.architecture("mnist-cnn").build(10).eval()
    digits = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    state = network.state_dict()
    x = digits
    for name in ("conv1.0", "conv2.0"):
        x = F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=2)
        x = F.max_pool2d(F.relu(x), 2)
    expected = F.linear(x.flatten(1), state["out.weight"], state["out.bias"])
    with torch.inference_mode():
        torch.testing.assert_close(network(digits), expected)
