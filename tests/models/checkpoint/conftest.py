"""A version in a folder, and a batch of images."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.networks import SPEC, picture, publish_tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Version 1 of the model `colors`."""
    publish_tiny(tmp_path)
    return tmp_path / "colors" / "1"


@pytest.fixture
def batch() -> Tensor:
    return SPEC.normalize(torch.stack([SPEC.pixels(picture(seed)) for seed in range(4)]))
