"""Commands of the training on small folders."""

from pathlib import Path

import pytest

from tests.training.commands.fitting import Fit


@pytest.fixture
def fit(tmp_path: Path, colors_folder: Path, quick_plots: None) -> Fit:
    """Runs `fit` on a folder of colours, and writes below a folder of the test."""
    return Fit(tmp_path, colors_folder)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
