"""`look` writes what is odd about a data set, and trains nothing."""

import shutil
from pathlib import Path

import pytest

from fanlight.command import main
from tests.training.pictures import write_colors


def test_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_colors(tmp_path / "pets", pictures=12)
    shutil.copy(folder / "train" / "blue" / "3.png", folder / "train" / "red" / "copy.png")
    shutil.copy(folder / "train" / "green" / "4.png", folder / "test" / "green" / "copy.png")
    (folder / "train" / "red" / "broken.png").write_bytes(b"\x89PNG")
    before = sorted(folder.rglob("*"))
    assert main(["look", str(folder), "--output", str(tmp_path / "look")]) == 0
    said = capsys.readouterr().out
    assert "the same picture in two classes: 1 (" in said
    assert "the same picture in train and outside of it: 1 (" in said
    assert "1 of 37 pictures of test are in train too" in said
    assert "unreadable: 1 (" in said
    assert {path.name for path in (tmp_path / "look").iterdir()} == {
        *("data.html", "data.csv", "left-out.csv"),
    }
    assert "the files are equal" in (tmp_path / "look" / "data.csv").read_text()
    assert sorted(folder.rglob("*")) == before


def test_a_drawn_set_has_indices_for_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.data.sets import xo

    monkeypatch.setitem(xo.TRAIN, "original", (6, 1))
    monkeypatch.setitem(xo.TEST, "original", (2, 1))  # the same seed: the same pictures
    assert main(["look", "xo", "--output", str(tmp_path), "--data-root", str(tmp_path)]) == 0
    assert "xo train no. " in capsys.readouterr().out


def test_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["look", "nothing", "--data-root", str(tmp_path)]) == 1
    assert "no data set 'nothing'" in capsys.readouterr().err
