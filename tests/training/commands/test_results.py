"""`results` writes the record and its page, and tells what is missing."""

from pathlib import Path

import pytest

from fanlight.command import main
from tests.training.test_results import MNIST, finished
from training.results import Record


def test_the_record_and_its_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(tmp_path / "runs", MNIST)
    (tmp_path / "docs").mkdir()
    command = ["results", "--runs", str(tmp_path / "runs"), "--docs", str(tmp_path / "docs")]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "trainings: 1, studies: 0" in told
    assert "nothing recorded yet of: birds-vs-planes," in told
    record = Record.read(tmp_path / "docs" / "results.json")
    assert [row["recipe"] for row in record.trainings] == ["mnist-cnn"]
    assert (tmp_path / "docs" / "results.md").read_text() == record.markdown()


def test_the_folder_of_the_page_must_be_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["results", "--docs", str(tmp_path / "docs")]) == 2
    assert "name one with --docs" in capsys.readouterr().err


def test_the_folder_of_the_runs_must_be_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").mkdir()
    command = ["results", "--runs", str(tmp_path / "none"), "--docs", str(tmp_path / "docs")]
    assert main(command) == 2
    assert "none: name the folder of the runs with --runs" in capsys.readouterr().err
    assert not list((tmp_path / "docs").iterdir())
