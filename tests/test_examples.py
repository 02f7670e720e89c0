"""The examples do what their READMEs say."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import httpx2 as httpx
import pytest

from fanlight.command import main
from tests.e2e.servers import running

ROOT = Path(__file__).parents[1]
OWN = ROOT / "examples" / "own_network"


def lines(page: Path) -> list[str]:
    """The commands of a README, in their order."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@pytest.mark.slow
@pytest.mark.thorough
def test_a_network_of_one_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained by its own loop, imported, served, asked: the commands of the README."""
    folder = tmp_path / "own_network"
    shutil.copytree(OWN, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(folder)
    train, bring, serve, ask = lines(OWN / "README.md")
    assert train == "python network.py"
    subprocess.run([sys.executable, "network.py"], check=True, timeout=120)
    assert main(shlex.split(bring)[1:]) == 0
    with running(tmp_path / "log", *shlex.split(serve)[2:], cwd=folder) as server:
        path = ask.rpartition("http://127.0.0.1:8000")[2]
        files = {"images": ("standing.png", Path("standing.png").read_bytes(), "image/png")}
        [found] = httpx.post(f"{server.url}{path}", files=files).json()["predictions"]
    assert found["label"] == "standing"
    assert found["score"] > 0.9
    assert len((OWN / "network.py").read_text().splitlines()) < 40
