"""A folder of pictures."""

from pathlib import Path

import pytest

from tests.training.pictures import write_colors


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of the data set `colors`."""
    write_colors(tmp_path / "colors", pictures=4)
    return tmp_path
