"""A small network and pictures for it."""

import pytest
import torch
from torch import Tensor

from tests.networks import Tiny


@pytest.fixture
def network() -> Tiny:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Tiny(3).eval()


@pytest.fixture
def batch() -> Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
