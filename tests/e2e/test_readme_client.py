"""The Python programs of README and of the pages about clients, run as they stand."""

import re
import shlex
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


def asking(page: str, server: Server) -> str:
    """A page whose commands and programs ask our server."""
    return (ROOT / page).read_text().replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")


def printed(page: str, server: Server, folder: Path, number: int = 0) -> list[str]:
    """What a program of a page prints, in a folder with our tests' files."""
    programs = re.findall(r"```python\n(.*?)```", asking(page, server), re.DOTALL)
    (folder / "tests").symlink_to(ROOT / "tests")
    return ran([sys.executable, "-c", programs[number]], folder)


def ran(command: list[str], folder: Path) -> list[str]:
    run = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=True, timeout=60
    )
    return run.stdout.splitlines()


@pytest.mark.parametrize("page", ["README.md", "docs/clients.md"])
def test_our_own_client(page: str, server: Server, tmp_path: Path) -> None:
    label, shape = printed(page, server, tmp_path)
    assert label.split()[0] == "bird"
    assert shape == "(1, 24, 31, 31)"
    with Image.open(tmp_path / "why.png") as drawn:
        assert drawn.format == "PNG"


@pytest.mark.parametrize("page", ["README.md", "docs/clients.md"])
def test_a_generated_client(page: str, server: Server, tmp_path: Path) -> None:
    [options] = re.findall(r"^(?:\S*/)?openapi-python-client (.*)$", asking(page, server), re.M)
    ran([sys.executable, "-m", "openapi_python_client", *shlex.split(options)], tmp_path)
    assert printed(page, server, tmp_path, number=1) == ["bird"]


def test_the_protocol(server: Server, tmp_path: Path) -> None:
    lines = printed("docs/inference-protocol.md", server, tmp_path)
    assert lines[0].startswith("[b'7'] [[")
