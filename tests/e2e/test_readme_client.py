"""The Python programs of README and of the page about the protocol, run as they stand."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.servers import Server, running

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("readme") / "log", "--log-level", "warning") as server:
        yield server


def printed(page: str, server: Server, folder: Path) -> list[str]:
    """What the first program of a page prints, in a folder with our tests' files."""
    found = re.search(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert found is not None
    program = found[1].replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
    (folder / "tests").symlink_to(ROOT / "tests")
    command = [sys.executable, "-c", program]
    run = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=True, timeout=60
    )
    return run.stdout.splitlines()


def test_readme(server: Server, tmp_path: Path) -> None:
    label, shape = printed("README.md", server, tmp_path)
    assert label.split()[0] == "bird"
    assert shape == "(1, 24, 31, 31)"
    with Image.open(tmp_path / "why.png") as drawn:
        assert drawn.format == "PNG"


def test_the_protocol(server: Server, tmp_path: Path) -> None:
    lines = printed("docs/inference-protocol.md", server, tmp_path)
    assert lines[0].startswith("[b'7'] [[")
