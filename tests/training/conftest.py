"""Fixtures for the tests of training."""

from pathlib import Path

import pytest

from tests.training.pictures import write_colors
from training import plots


@pytest.fixture
def quick_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of the time of so small a training goes into plots; most tests don't look at them."""
    for name in ("curves", "confusion", "first", "mistakes"):
        monkeypatch.setattr(plots, name, lambda *_: b"a picture")


@pytest.fixture(scope="session")
def colors_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image folder of blue, green and red pictures; not to be changed."""
    return write_colors(tmp_path_factory.mktemp("data") / "colors")
