"""The pages for people who come from another server: their commands, run as they stand."""

import json
import re
import shlex
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest
import torch

from models.torchvision_import import torchvision
from tests.e2e.servers import running
from tests.graphs import LABELS, torch_like
from tests.networks import DATA

pytestmark = pytest.mark.thorough
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


def test_torchserve(tmp_path: Path) -> None:
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
    unpack, bring, serve, *ask = commands("from-torchserve.md")
    run(unpack, tmp_path)
    run(bring, tmp_path)
    assert serve[:3] == ["fanlight", "serve", "--port"]
    with running(tmp_path / "log", *serve[4:], cwd=tmp_path) as server:
        address = f"127.0.0.1:{server.port}"
        put, form, ping = (run(each, tmp_path, _8080=address) for each in ask)
    assert json.loads(put) == pytest.approx(json.loads(form))
    assert set(json.loads(put)) == {"cat", "dog"}
    assert json.loads(ping) == {"status": "Healthy"}


def test_triton(tmp_path: Path) -> None:
    folder = tmp_path / "model_repository" / "pets"
    (folder / "1").mkdir(parents=True)
    (folder / "labels.txt").write_text("\n".join(LABELS))
    (folder / "1" / "model.onnx").write_bytes(torch_like().SerializeToString())
    (tmp_path / "cat.png").write_bytes((DATA / "birds-vs-planes" / "bird-owl.png").read_bytes())
    bring, serve, *ask = commands("from-triton.md")
    run(bring, tmp_path)
    assert serve[:3] == ["fanlight", "serve", "--port"]
    with running(tmp_path / "log", cwd=tmp_path) as server:
        address = f"127.0.0.1:{server.port}"
        told, _ = (run(each, tmp_path, _8000=address) for each in ask)
    assert json.loads(told)["outputs"][0]["shape"] == [-1, len(LABELS)]
    answer = (tmp_path / "answer.bin").read_bytes()
    head = json.JSONDecoder().raw_decode(answer.decode("latin-1"))[0]
    assert [each["name"] for each in head["outputs"]] == ["logits", "probabilities", "label"]
    assert answer[-3:].decode() in LABELS
