"""The pages for people who come from another server: their commands, run as they stand."""

import json
import re
import shlex
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient

from fanlight.command import main
from models.torchvision_import import torchvision
from service import launch
from service.app import create_app
from service.settings import Settings
from tests.e2e.servers import running
from tests.graphs import LABELS, torch_like
from tests.networks import DATA

DOCS = Path(__file__).parents[2] / "docs"
FANLIGHT = [sys.executable, "-m", "fanlight"]


def commands(page: str) -> list[list[str]]:
    """Those of a page, word by word."""
    [block] = re.findall(r"```sh\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    return [shlex.split(line) for line in block.splitlines()]


def run(command: list[str], folder: Path, **replaced: str) -> str:
    """What a command prints; words are replaced in it first."""
    words = [FANLIGHT if word == "fanlight" and not i else [word] for i, word in enumerate(command)]
    flat = [each for word in words for each in word]
    for old, new in replaced.items():
        flat = [each.replace(f"127.0.0.1:{old[1:]}", new) for each in flat]
    done = subprocess.run(flat, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A folder with an archive of TorchServe, and a picture."""
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        network = torchvision("models").squeezenet1_1(num_classes=2)
    torch.save(network.state_dict(), tmp_path / "pets.pth")
    with zipfile.ZipFile(tmp_path / "pets.mar", "w") as archive:  # as torch-model-archiver does
        archive.write(tmp_path / "pets.pth", "pets.pth")
        archive.writestr("index_to_name.json", json.dumps({"0": ["n1", "cat"], "1": ["n2", "dog"]}))
        archive.writestr("model.py", "raise SystemExit")
    (tmp_path / "pets.pth").unlink()
    (tmp_path / "cat.jpg").write_bytes((DATA / "birds-vs-planes" / "bird-owl.png").read_bytes())
    return tmp_path


@pytest.fixture
def triton(tmp_path: Path) -> Path:
    """A folder with a model repository of Triton, and a picture."""
    folder = tmp_path / "model_repository" / "pets"
    (folder / "1").mkdir(parents=True)
    (folder / "labels.txt").write_text("\n".join(LABELS))
    (folder / "1" / "model.onnx").write_bytes(torch_like().SerializeToString())
    (tmp_path / "cat.png").write_bytes((DATA / "birds-vs-planes" / "bird-owl.png").read_bytes())
    return tmp_path


@contextmanager
def serving(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The service that the command `words` would start here, in this process."""
    served: list[Settings] = []
    monkeypatch.setattr(launch, "serve", served.append)
    assert main(words[1:]) == 0
    own = {"repository": [Path("checkpoints")], "device": "cpu", "runtime": "torch"}
    app = create_app(served[0].model_copy(update=own))
    with TestClient(app) as client:
        assert client.portal is not None
        client.portal.call(app.state.repository.loaded)
        yield client


def ask(client: TestClient, words: list[str]) -> Any:
    """The answer to what such a command of curl sends."""
    [address] = (word for word in words if word.startswith("http://"))
    path = re.sub(r"^http://127.0.0.1:\d+", "", address)
    options = dict(pairwise(words))
    if "-T" in options:
        return client.put(path, content=Path(options["-T"]).read_bytes())
    if "-F" in options:
        name, _, file = options["-F"].partition("=@")
        return client.post(path, files={name: Path(file).read_bytes()})
    if "--data-binary" in options:
        content = Path(options["--data-binary"].removeprefix("@")).read_bytes()
        name, _, value = options["-H"].partition(": ")
        return client.post(path, content=content, headers={name: value})
    return client.get(path)


def test_torchserve_s_commands_in_this_process(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(archive)
    unpack, bring, serve, *questions = commands("from-torchserve.md")
    run(unpack, archive)
    assert main(bring[1:]) == 0
    with serving(serve, monkeypatch) as client:
        put, form, ping = (ask(client, each).json() for each in questions)
    assert put == pytest.approx(form)
    assert set(put) == {"cat", "dog"}
    assert ping == {"status": "Healthy"}


@pytest.mark.usefixtures("_graphs_are_tried_here")
def test_triton_s_commands_in_this_process(triton: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(triton)
    bring, serve, *questions = commands("from-triton.md")
    assert main(bring[1:]) == 0
    with serving(serve, monkeypatch) as client:
        told, answer = (ask(client, each) for each in questions)
    assert told.json()["outputs"][0]["shape"] == [-1, len(LABELS)]
    assert answer.status_code == 200
    assert answer.content[-3:].decode() in LABELS


@pytest.mark.thorough
def test_torchserve(archive: Path) -> None:
    unpack, bring, serve, *ask = commands("from-torchserve.md")
    run(unpack, archive)
    run(bring, archive)
    assert serve[:3] == ["fanlight", "serve", "--port"]
    with running(archive / "log", *serve[4:], cwd=archive) as server:
        address = f"127.0.0.1:{server.port}"
        put, form, ping = (run(each, archive, _8080=address) for each in ask)
    assert json.loads(put) == pytest.approx(json.loads(form))
    assert set(json.loads(put)) == {"cat", "dog"}
    assert json.loads(ping) == {"status": "Healthy"}


@pytest.mark.thorough
def test_triton(triton: Path) -> None:
    bring, serve, *ask = commands("from-triton.md")
    run(bring, triton)
    assert serve[:3] == ["fanlight", "serve", "--port"]
    with running(triton / "log", cwd=triton) as server:
        address = f"127.0.0.1:{server.port}"
        told, _ = (run(each, triton, _8000=address) for each in ask)
    assert json.loads(told)["outputs"][0]["shape"] == [-1, len(LABELS)]
    answer = (triton / "answer.bin").read_bytes()
    head = json.JSONDecoder().raw_decode(answer.decode("latin-1"))[0]
    assert [each["name"] for each in head["outputs"]] == ["logits", "probabilities", "label"]
    assert answer[-3:].decode() in LABELS
