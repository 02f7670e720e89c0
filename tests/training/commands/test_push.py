"""`fanlight push`: a version goes elsewhere whole, its card last, and replaces nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fanlight.command import main
from models import checkpoint, repositories
from models.remote.address import CACHE, RemoteError
from models.remote.storage import Storage
from tests.networks import publish_tiny


@pytest.fixture
def push(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))

    def run(*words: str) -> int:
        return main(["push", *words, "--repository", str(repository)])

    return run


@pytest.mark.parametrize("form", ["file://{}", "{}"])
def test_is_read_again_elsewhere(push: Any, tmp_path: Path, form: str) -> None:
    place = tmp_path / "else where"
    assert push("colors", form.format(place)) == 0
    assert push("colors", form.format(place), "--version", "1") == 0
    loaded = repositories.load_named([Path(f"file://{place}")], "colors", 1, torch.device("cpu"))
    assert loaded.card.version == 1
    index = json.loads((place / "index.json").read_text())["files"]
    assert sorted(index) == [f"colors/{n}/{f}" for n in (1, 2) for f in ("card.json", "weights.pt")]
    assert checkpoint.versions(place / "colors") == [1, 2]


def test_twice_and_another(push: Any, tmp_path: Path, capsys: Any) -> None:
    place = tmp_path / "elsewhere"
    publish_tiny(place, seed=9)
    assert push("colors", str(place)) == 0
    assert push("colors", str(place)) == 0
    assert "already, with the same content" in capsys.readouterr().out
    before = (place / "colors" / "1" / "weights.pt").read_bytes()
    assert push("colors", str(place), "--version", "1") == 1
    assert "another colors/1, which is not replaced" in capsys.readouterr().err
    assert (place / "colors" / "1" / "weights.pt").read_bytes() == before


def test_broken_off_shows_nothing(
    push: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    written: list[str] = []
    write = Storage.write

    def dying(storage: Storage, place: str, name: str, *others: Any) -> None:
        if name == "card.json":
            raise RemoteError("broken off")
        written.append(name)
        write(storage, place, name, *others)

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "write", dying)
        assert push("colors", str(tmp_path / "e")) == 1
    assert written == ["weights.pt"]
    assert "broken off" in capsys.readouterr().err
    assert push("colors", str(tmp_path / "e")) == 0


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["colors", "https://example.org/models"], 2, "can't be written to"),
        (["colors", "s3://me:hunter2@bucket"], 2, "holds a user or password"),
        (["colors", ""], 2, "the destination is empty"),
        (["color", "elsewhere"], 1, "did you mean 'colors'"),
        (["colors", "elsewhere", "--version", "7"], 1, "no version 7"),
        (["colors"], 2, "is missing"),
        (["colors", "nosuch://a"], 1, "no storage is called 'nosuch'"),
    ],
)
def test_mistakes(push: Any, words: list[str], code: int, told: str, capsys: Any) -> None:
    assert push(*words) == code
    error = capsys.readouterr().err
    assert told in error
    assert "hunter2" not in error


def test_a_damaged_version_is_not_pushed(
    push: Any, repository: Path, tmp_path: Path, capsys: Any
) -> None:
    (repository / "colors" / "2" / "weights.pt").write_bytes(b"damaged")
    assert push("colors", str(tmp_path / "e")) == 1
    assert "does not have the SHA-256" in capsys.readouterr().err
    assert not (tmp_path / "e").exists()


def test_beside_a_single_version(push: Any, repository: Path, tmp_path: Path, capsys: Any) -> None:
    assert push("colors", str(repository / "colors" / "1")) == 1
    assert "holds card.json, a version without <model>/" in capsys.readouterr().err
