"""Exported graphs are kept for the next start, and only believed where they answer rightly."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from structlog.testing import capture_logs

from models import checkpoint
from models.checkpoint import Checkpoint
from service.inference.runtimes import choice, onnx_runtime
from service.inference.runtimes.onnx_cache import Graphs, usual_folder
from service.inference.runtimes.onnx_runtime import Onnx
from tests.networks import publish_tiny

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


@pytest.fixture
def loaded(repository: Path) -> Checkpoint:
    return checkpoint.load(repository / "colors" / "1", CPU)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "fanlight"


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The weights of the networks that were exported."""
    exported: list[str] = []
    export = onnx_runtime.export

    def recorded(checkpoint: Checkpoint) -> bytes:
        exported.append(checkpoint.card.weights_sha256)
        return export(checkpoint)

    monkeypatch.setattr(onnx_runtime, "export", recorded)
    return exported


def choose(loaded: Checkpoint, folder: Path | None) -> Any:
    return choice.choose(loaded, "auto", "float32", 1, max_batch_size=8, graphs=Graphs(folder))


def test_a_graph_is_exported_once(loaded: Checkpoint, folder: Path, exports: list[str]) -> None:
    for _ in range(3):
        assert choose(loaded, folder).runtime.name == "onnx"
    assert len(exports) == 1
    [file] = folder.iterdir()
    assert file.suffix == ".onnx"
    assert folder.stat().st_mode & 0o077 == 0


def test_other_weights_have_another_graph(
    loaded: Checkpoint, repository: Path, folder: Path, exports: list[str]
) -> None:
    choose(loaded, folder)
    choose(checkpoint.load(repository / "colors" / "2", CPU), folder)
    assert len(set(exports)) == 2
    assert len(list(folder.iterdir())) == 2


def test_the_same_weights_with_another_input_have_another_graph(
    loaded: Checkpoint, folder: Path, exports: list[str]
) -> None:
    choose(loaded, folder)
    brighter = loaded.card.input.model_copy(update={"mean": (0.1, 0.1, 0.1)})
    card = loaded.card.model_copy(update={"input": brighter})
    choose(Checkpoint(card, loaded.network, loaded.structure, CPU), folder)
    assert len(exports) == 2


@pytest.mark.parametrize("damage", [b"", b"nothing", None])
def test_a_damaged_graph_is_exported_anew(
    loaded: Checkpoint, folder: Path, exports: list[str], damage: bytes | None
) -> None:
    choose(loaded, folder)
    [file] = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    chosen = choose(loaded, folder)
    assert (chosen.runtime.name, chosen.fallback) == ("onnx", None)
    assert len(exports) == 2
    assert file.read_bytes() == whole


def test_a_graph_that_answers_otherwise_is_exported_anew(
    loaded: Checkpoint, tmp_path: Path, folder: Path, exports: list[str]
) -> None:
    publish_tiny(tmp_path, seed=9)
    other = checkpoint.load(tmp_path / "colors" / "1", CPU)
    choose(loaded, folder)
    [file] = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(onnx_runtime.export(other))
    assert choose(loaded, folder).fallback is None
    assert file.read_bytes() == whole


def test_what_is_not_taken_is_not_kept(
    loaded: Checkpoint, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Onnx.__call__
    monkeypatch.setattr(Onnx, "__call__", lambda self, batch: run(self, batch) + 2e-4)
    assert choose(loaded, folder).fallback is not None
    assert not folder.exists()


def test_without_a_folder_all_goes_on(loaded: Checkpoint, exports: list[str]) -> None:
    for _ in range(2):
        assert choose(loaded, None).runtime.name == "onnx"
    assert len(exports) == 2


@pytest.mark.parametrize("name", ["file/inside", "a" * 300, "file"])
def test_a_folder_that_can_not_be_written_is_no_harm(
    loaded: Checkpoint, tmp_path: Path, exports: list[str], name: str
) -> None:
    (tmp_path / "file").touch()
    for _ in range(2):
        assert choose(loaded, tmp_path / name).runtime.name == "onnx"
    assert len(exports) == 2


def test_a_folder_of_somebody_else_is_no_harm(
    loaded: Checkpoint, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(_path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", forbidden)
    assert Graphs(folder).find(loaded.card) is None


def test_a_write_that_fails_leaves_nothing(
    loaded: Checkpoint, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("service.inference.runtimes.onnx_cache.os.fsync", full)
    assert choose(loaded, folder).runtime.name == "onnx"
    assert list(folder.iterdir()) == []


def test_the_usual_folder_is_in_the_cache_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert usual_folder() == Path("/somewhere/fanlight")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert usual_folder() == Path("/home/somebody/.cache/fanlight")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert usual_folder() == Path("/home/somebody/.cache/fanlight")


def test_who_has_no_home_has_no_usual_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert usual_folder() is None


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_folder_that_others_can_write_into_is_not_used(
    loaded: Checkpoint, folder: Path, exports: list[str], mode: int
) -> None:
    choose(loaded, folder)
    folder.chmod(mode)
    assert choose(loaded, folder).runtime.name == "onnx"
    assert len(exports) == 2


def test_that_nothing_can_be_kept_is_told_once(
    loaded: Checkpoint, folder: Path, tmp_path: Path
) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    (tmp_path / "file").touch()
    for place, reason in ((folder, "other users can write there"), (tmp_path / "file", "exists")):
        for asked, levels in ((True, ["warning", "debug"]), (False, ["debug", "debug"])):
            graphs = Graphs(place, asked=asked)
            with capture_logs() as lines:
                graphs.write(loaded.card, b"a")
                graphs.write(loaded.card, b"a")
            assert [line["log_level"] for line in lines] == levels
            assert reason in lines[0]["reason"]


def test_a_folder_that_can_only_be_read_is_used(
    loaded: Checkpoint, folder: Path, exports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(loaded, folder)

    def read_only(_path: Path) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("service.inference.runtimes.onnx_cache.os.utime", read_only)
    assert choose(loaded, folder).runtime.name == "onnx"
    assert len(exports) == 1


def test_what_was_long_of_no_use_is_removed(
    loaded: Checkpoint, repository: Path, folder: Path
) -> None:
    choose(loaded, folder)
    [used] = folder.iterdir()
    removed = {f"{'a' * 64}.onnx", f".draft-{'a' * 32}"}
    others = {"my-own.onnx", "notes.txt", f"{'b' * 64}.onnx"}
    (folder / f"{'b' * 64}.onnx").mkdir()  # which can't be removed like a file
    for name in (*removed, *others):
        if name != f"{'b' * 64}.onnx":
            (folder / name).touch()
        os.utime(folder / name, (0, 0))
    os.utime(used, (0, 0))
    choose(loaded, folder)
    with capture_logs() as lines:
        choose(checkpoint.load(repository / "colors" / "2", CPU), folder)
    assert not lines
    names = {path.name for path in folder.iterdir()}
    assert len(names) == 2 + len(others)
    assert names > {used.name, *others}


def test_a_folder_of_somebody_else_is_not_used(
    loaded: Checkpoint, folder: Path, exports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(loaded, folder)
    if os.geteuid() == 0:
        os.chown(folder, 1, -1)
    else:
        monkeypatch.setattr("service.inference.runtimes.onnx_cache.os.geteuid", lambda: 1)
    choose(loaded, folder)
    assert len(exports) == 2
