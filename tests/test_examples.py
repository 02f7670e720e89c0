"""The examples do what their READMEs say."""

import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

from fanlight.command import main
from service.app import create_app
from service.settings import Settings
from tests.e2e.servers import running

ROOT = Path(__file__).parents[1]
OWN = ROOT / "examples" / "own_network"


def lines(page: Path) -> list[str]:
    """The commands of a README, in their order."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the example, in which one works."""
    folder = tmp_path / "own_network"
    shutil.copytree(OWN, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.slow
def test_an_untrained_network_of_one_s_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Imported, served, asked, in this process: its logits are those of plain torch."""
    with monkeypatch.context() as patch:
        patch.syspath_prepend(folder)
        network = import_module("network")
        patch.setitem(sys.modules, "network", network)  # forgotten at the end
        own = network.Stripes().eval()
        torch.save(own.state_dict(), "stripes.pt")
        _, bring, serve, ask = lines(OWN / "README.md")
        assert main(shlex.split(bring)[1:]) == 0
        app = create_app(
            Settings(
                repository=[Path(shlex.split(serve)[3])],
                architectures=(shlex.split(serve)[5],),
                device="cpu",
            )
        )
        with TestClient(app) as client:
            assert client.portal is not None
            client.portal.call(app.state.repository.loaded)
            path = ask.rpartition("http://127.0.0.1:8000")[2]
            content = Path("standing.png").read_bytes()
            answer = client.post(f"{path}?logits=true", files={"images": content}).json()
    with Image.open("standing.png") as image:
        pixels = np.asarray(image.convert("L"), dtype=np.float32) / 255
    with torch.inference_mode():
        wanted = own(torch.from_numpy(pixels)[None, None])[0]
    assert answer["predictions"][0]["logits"] == pytest.approx(wanted.tolist(), abs=1e-5)


@pytest.mark.slow
@pytest.mark.thorough
def test_a_network_of_one_s_own(folder: Path, tmp_path: Path) -> None:
    """Trained by its own loop, imported, served, asked: the commands of the README."""
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
