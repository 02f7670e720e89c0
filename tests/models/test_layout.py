"""Weights of convolutions lie channels-last where the network can take it."""

import pytest
import torch
from torch import Tensor, nn

from models import layout
from models.preprocessing import InputSpec

SPEC = InputSpec(channels=3, height=8, width=8, mean=(0.5,) * 3, std=(0.25,) * 3)
LAST = torch.channels_last


class Convolutional(nn.Module):
    """A convolution beside a parameter of five axes; `flat` is how its maps become a row."""

    def __init__(self, flat: str) -> None:
        super().__init__()
        self.flat = flat
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4 * 36, 2)
        self.places = nn.Parameter(torch.rand(1, 1, 4, 6, 6))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x) + self.places[0]
        row = x.view(len(x), -1) if self.flat == "view" else x.flatten(1)
        logits: Tensor = self.fc(row)
        return logits


@pytest.mark.parametrize(
    ("flat", "expected"), [("flatten", LAST), ("view", torch.contiguous_format)]
)
def test_the_layout_changes_no_answer(flat: str, expected: torch.memory_format) -> None:
    torch.manual_seed(0)
    network, batch = Convolutional(flat).eval(), torch.rand(2, 3, 8, 8)
    before = network(batch)
    assert layout.channels_last(network, SPEC) == expected
    assert network.conv.weight.is_contiguous(memory_format=expected)
    assert network.places.is_contiguous()
    torch.testing.assert_close(network(batch.contiguous(memory_format=expected)), before)
