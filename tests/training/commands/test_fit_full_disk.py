"""A disk that is full, or not ours, ends a training with the path and the next step."""

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fanlight.command import main
from models import files

WRITTEN = [
    *("recipe.json", "data.html", "data.csv", "state.pt", "history.csv", "weights.pt"),
    *("curves.png", "confusion.png", "mistakes.png", "result.json", "card.json"),
]


def fit(dataset: Path, here: Path, *arguments: str) -> int:
    return main(
        [
            *("fit", "mnist-cnn", "--name", "colors", "--dataset", str(dataset)),
            *("--architecture", "tiny", "--epochs", "2", "--device", "cpu", "--batch-size", "8"),
            *("--repository", str(here / "models"), "--runs", str(here / "runs"), *arguments),
        ]
    )


def failing(name: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the file of that name fail when its draft is flushed to the disk."""
    writing, fsync = files.writing, os.fsync

    def full(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    def watched(path: Path) -> Any:
        monkeypatch.setattr(os, "fsync", full if path.name == name else fsync)
        return writing(path)

    monkeypatch.setattr(files, "writing", watched)


def drafts(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(files.DRAFT)]


@pytest.mark.usefixtures("quick_plots")
@pytest.mark.parametrize("name", WRITTEN)
def test_a_full_disk(
    name: str,
    colors_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        failing(name, errno.ENOSPC, patch)
        assert fit(colors_folder, tmp_path) == 1
    said = capsys.readouterr().err
    step = "No space left on device; make room on that disk, or name a folder on another one"
    assert re.fullmatch(rf"error: \S*{re.escape(name)}: {step}(; the same command.*)?\n", said)
    assert drafts(tmp_path) == []
    if name != "result.json":  # which is written when the model is published
        assert not (tmp_path / "models" / "colors").exists()
    if name == "recipe.json":
        assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.usefixtures("quick_plots")
def test_it_goes_on_when_there_is_room(
    colors_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        failing("weights.pt", errno.ENOSPC, patch)
        assert fit(colors_folder, tmp_path) == 1
    assert "with --resume then goes on after the last finished epoch" in capsys.readouterr().err
    assert fit(colors_folder, tmp_path, "--resume") == 0
    assert (tmp_path / "models" / "colors" / "1" / "card.json").exists()


@pytest.mark.usefixtures("quick_plots")
def test_before_the_first_epoch_there_is_nothing_to_go_on_from(
    colors_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    failing("data.html", errno.EDQUOT, monkeypatch)
    assert fit(colors_folder, tmp_path) == 1
    said = capsys.readouterr().err
    assert "within your quota" in said
    assert "--resume" not in said


@pytest.mark.parametrize("folder", ["runs", "models"])
def test_no_permission_is_told_before_anything_is_trained(
    folder: str,
    colors_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / folder).mkdir()
    mkdir: Callable[..., None] = Path.mkdir
    access = os.access

    def refused(path: Path, *arguments: Any, **options: Any) -> None:
        if path.is_relative_to(tmp_path / folder):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        mkdir(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", refused)
    monkeypatch.setattr(
        os, "access", lambda path, mode: path != tmp_path / folder and access(path, mode)
    )
    assert fit(colors_folder, tmp_path) == 1
    said = capsys.readouterr()
    assert f"{tmp_path / folder}" in said.err
    assert "Permission denied; give your user the permission, or name another place" in said.err
    assert "epoch" not in said.out


def test_a_repository_below_a_file(
    colors_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "models").write_text("no folder")
    assert fit(colors_folder, tmp_path) == 1
    assert "models: Not a directory; a part of the path is a file" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("quick_plots")
def test_a_picture_that_vanishes_while_it_is_read(
    colors_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    read = Path.read_bytes

    def missing(path: Path) -> bytes:
        if path.parts[-3:] == ("train", "red", "3.png"):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", missing)
    assert fit(colors_folder, tmp_path) == 0
    said = capsys.readouterr().out
    assert "left out, 1 files: it can't be read (1)" in said
    assert "red/3.png: it can't be read: No such file or directory" in said
