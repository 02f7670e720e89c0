"""Fixtures for the tests of training."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.training.pictures import write_colors


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small are trained sooner by one thread than by several that wait."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def colors_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image folder of blue, green and red pictures; not to be changed."""
    return write_colors(tmp_path_factory.mktemp("data") / "colors")
