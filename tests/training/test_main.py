"""The command line: what it answers, and how it tells what went wrong."""

import re
import sys
from pathlib import Path

import pytest

from fanlight.command import main
from models import checkpoint
from tests.networks import publish_tiny
from training.commands.evaluate import Evaluate
from training.commands.fit import Fit
from training.commands.study import Study


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--help"], ["fit", "evaluate", "import"]),
        (["fit", "--help"], ["birds-vs-planes-base", "own-pictures", "fit --list", "FOLDER"]),
        (["fit", "mnist", "--help"], ["--learning-rate", "--batch-size", "--seed", "--device"]),
        (["evaluate", "--help"], ["--split", "--output", "confusion matrix"]),
        (["import", "--help"], ["--architecture", "--arguments", "--labels", "torch.save"]),
    ],
    ids=" ".join,
)
def test_help(arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        sys.exit(main(arguments))
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in words)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["train"],
        ["fit"],
        ["fit", "mnist", "--epochs", "many"],
        ["fit", "mnist", "--epochs", "0"],
        ["fit", "mnist", "--optimizer", "lion"],
        ["fit", "mnist", "--arguments", "hidden=[1,"],
        ["fit", "mnist", "--schedule", "plateau"],
        ["evaluate"],
        ["import", "weights.pt", "--labels", "a", "b"],
    ],
    ids=" ".join,
)
def test_a_command_line_that_makes_no_sense(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        sys.exit(main(arguments))
    assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_an_error_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "shades", "--repository", str(publish(tmp_path))]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(r"error: no model 'shades' in .*; there are: colors\n", printed.err)


def test_brackets_and_colons_in_an_error_are_no_markup(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "[red]:smile:[/blue]"
    assert main(["evaluate", name, "--repository", str(publish(tmp_path))]) == 1
    assert f"'{name}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--device", "gpu"], "no device 'gpu'; take auto, cpu"),
        (["--device", "cuda:99"], "'cuda:99' is not there"),
        (["--version", "3"], "no version 3 of 'colors'; there are: 1"),
        ([], "names no data set; give one as --dataset"),
        (["--dataset", "nothing"], "no data set 'nothing'"),
        (["--dataset", "mnist", "--data-root", "a-file"], "mnist is not under a-file"),
    ],
)
def test_errors_that_the_user_can_mend(
    option: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a-file").write_text("no folder")
    status = 2 if "--device" in option else 1
    assert main(["evaluate", "colors", "--repository", str(publish(tmp_path)), *option]) == status
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error


def test_errors_of_the_file_system(
    tmp_path: Path, colors_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    output = str(tmp_path / "file" / "output")
    arguments = ["--dataset", str(colors_folder), "--output", output, "--device", "cpu"]
    assert main(["evaluate", "colors", "--repository", str(publish(tmp_path)), *arguments]) == 1
    assert re.fullmatch(r"error: .*Not a directory.*\n", capsys.readouterr().err)


def test_an_interrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(self: object, console: object) -> None:
        raise KeyboardInterrupt

    for command in (Evaluate, Fit, Study):
        monkeypatch.setattr(command, "__call__", interrupted)
    assert main(["evaluate", "colors"]) == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert main(["fit", "mnist-cnn"]) == 130
    assert "the same command with --resume goes on" in capsys.readouterr().err
    assert main(["study", "dropout"]) == 130
    assert "interrupted; the same command goes on" in capsys.readouterr().err


def publish(folder: Path) -> Path:
    """A repository with the model `colors`."""
    publish_tiny(folder / "repository")
    assert checkpoint.names(folder / "repository") == ["colors"]
    return folder / "repository"


class UnexpectedError(Exception):
    """What no part of Fanlight raises on purpose."""


@pytest.mark.parametrize(
    "error",
    [UnexpectedError(), ValueError("x"), KeyError("x"), RuntimeError("x"), OSError("no path")],
    ids=repr,
)
def test_a_bug_keeps_its_traceback(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def buggy(self: object, console: object) -> None:
        raise error

    monkeypatch.setattr(Evaluate, "__call__", buggy)
    with pytest.raises(type(error)) as raised:
        main(["evaluate", "colors"])
    assert raised.value is error
