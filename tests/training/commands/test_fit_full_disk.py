"""A disk that is full, or not ours, ends a training with the path and the next step."""

import errno
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fanlight.command import main
from models import files

WRITTEN = [
    *("recipe.json", "data.html", "data.csv", "state.pt", "history.csv", "weights.pt"),
    *("curves.png", "confusion.png", "mistakes.png", "result.json", "card.json"),
]


@dataclass(frozen=True)
class Training:
    """A short training, which writes its run and its model into folders below `here`."""

    dataset: Path
    here: Path
    patch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def fit(self, *arguments: str) -> tuple[int, str, str]:
        """The exit status, and what was printed to stdout and stderr."""
        status = main(
            [
                *("fit", "mnist-cnn", "--name", "colors", "--dataset", str(self.dataset)),
                *("--architecture", "tiny", "--epochs", "2", "--batch-size", "8"),
                *("--device", "cpu", "--repository", str(self.here / "models")),
                *("--runs", str(self.here / "runs"), *arguments),
            ]
        )
        return (status, *self.capsys.readouterr())

    def fit_failing(self, name: str, number: int) -> str:
        """What is said when the file of that name can't be flushed to the disk."""
        writing, fsync = files.writing, os.fsync

        def full(_descriptor: int) -> None:
            raise OSError(number, os.strerror(number))

        def watched(path: Path) -> Any:
            patch.setattr(os, "fsync", full if path.name == name else fsync)
            return writing(path)

        with self.patch.context() as patch:
            patch.setattr(files, "writing", watched)
            status, _, said = self.fit()
        assert status == 1
        return said


@pytest.fixture
def training(
    colors_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Training:
    return Training(colors_folder, tmp_path, monkeypatch, capsys)


def drafts(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(files.DRAFT)]


@pytest.mark.usefixtures("quick_plots")
@pytest.mark.parametrize("name", WRITTEN)
def test_a_full_disk(name: str, training: Training) -> None:
    said = training.fit_failing(name, errno.ENOSPC)
    step = "No space left on device; make room on that disk, or name a folder on another one"
    assert re.fullmatch(rf"error: \S*{re.escape(name)}: {step}(; the same command.*)?\n", said)
    assert drafts(training.here) == []
    if name != "result.json":  # which is written when the model is published
        assert not (training.here / "models" / "colors").exists()
    if name == "recipe.json":
        assert list((training.here / "runs").iterdir()) == []


@pytest.mark.usefixtures("quick_plots")
def test_it_goes_on_when_there_is_room(training: Training) -> None:
    said = training.fit_failing("weights.pt", errno.ENOSPC)
    assert "with --resume then goes on after the last finished epoch" in said
    assert training.fit("--resume")[0] == 0
    assert (training.here / "models" / "colors" / "1" / "card.json").exists()


@pytest.mark.usefixtures("quick_plots")
def test_before_the_first_epoch_there_is_nothing_to_go_on_from(training: Training) -> None:
    said = training.fit_failing("data.html", errno.EDQUOT)
    assert "within your quota" in said
    assert "--resume" not in said
    assert list((training.here / "runs").rglob("*")) == []  # and nothing is left


@pytest.mark.usefixtures("quick_plots")
def test_the_path_is_the_one_that_the_file_was_to_get(training: Training) -> None:
    fsync = os.fsync

    def full(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.parent.name.startswith(files.DRAFT):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    with training.patch.context() as patch:
        patch.setattr(os, "fsync", full)
        _, _, said = training.fit()
    assert said.startswith(f"error: {training.here / 'models' / 'colors' / '1' / 'weights.pt'}: No")
    assert not (training.here / "models").exists()


@pytest.mark.parametrize("option", ["--runs", "--repository"])
def test_a_place_that_the_kernel_makes_up(option: str, training: Training) -> None:
    status, output, said = training.fit(option, "/proc/x")
    assert (status, output) == (1, "")
    assert said == "error: /proc/x: no file or folder can be made there; name a place on a disk\n"


@pytest.mark.parametrize("option", ["--runs", "--repository"])
def test_a_disk_that_can_only_be_read(
    option: str, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir: Callable[..., None] = Path.mkdir

    def refused(path: Path, *arguments: Any, **options: Any) -> None:
        if path.is_relative_to(training.here / "disk"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        mkdir(path, *arguments, **options)

    (training.here / "disk").mkdir()
    monkeypatch.setattr(Path, "mkdir", refused)
    _, _, said = training.fit(option, str(training.here / "disk" / "q"))
    assert said.endswith(
        "disk/q: Read-only file system; name a folder on a disk that can be written to\n"
    )


@pytest.mark.parametrize("folder", ["runs", "models"])
def test_no_permission_is_told_before_anything_is_trained(
    folder: str, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = training.here / folder
    place.mkdir()
    mkdir: Callable[..., None] = Path.mkdir

    def refused(path: Path, *arguments: Any, **options: Any) -> None:
        if path.is_relative_to(place):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        mkdir(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", refused)
    status, output, said = training.fit()
    assert status == 1
    assert str(place) in said
    assert "Permission denied; give your user the permission, or name another place" in said
    assert "epoch" not in output


def test_a_repository_below_a_file(training: Training) -> None:
    (training.here / "models").write_text("no folder")
    status, _, said = training.fit()
    assert status == 1
    assert "models: Not a directory; a part of the path is a file" in said
    assert not (training.here / "runs").exists()


@pytest.mark.usefixtures("quick_plots")
def test_a_picture_that_vanishes_while_it_is_read(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Path.read_bytes

    def missing(path: Path) -> bytes:
        if path.parts[-3:] == ("train", "red", "3.png"):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", missing)
    status, said, _ = training.fit()
    assert status == 0
    assert "left out, 1 files: it can't be read (1)" in said
    assert "red/3.png: it can't be read: No such file or directory" in said
