"""Fixtures for the tests of training."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.training.pictures import write_colors
from training import plots


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small are trained sooner by one thread than by several that wait."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def quick_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of the time of so small a training goes into plots; most tests don't look at them."""
    for name in ("curves", "confusion", "mistakes"):
        monkeypatch.setattr(plots, name, lambda *_: b"a picture")


@pytest.fixture(scope="session")
def colors_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image folder of blue, green and red pictures; not to be changed."""
    return write_colors(tmp_path_factory.mktemp("data") / "colors")
