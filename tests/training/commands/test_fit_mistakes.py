"""What `fit` refuses or gives up: it says why, and publishes nothing."""

import csv
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from fanlight.command import main
from models import checkpoint
from tests.training.commands.fitting import Fit
from tests.training.pictures import write_colors
from training.fitting import loop
from training.fitting.evaluation import Metrics


def _told(message: str, status: int, capsys: pytest.CaptureFixture[str]) -> bool:
    """Whether one line has the message, and after an error of usage another names the help."""
    see = "See fanlight fit --help\n" if status == 2 else ""
    told = f"error: .*{re.escape(message)}.*\n{see}"
    return re.fullmatch(told, capsys.readouterr().err) is not None


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--dataset", "nothing"], 1, "no data set 'nothing'"),
        (["--architecture", "huge"], 2, "no architecture 'huge'; there are"),
        (["--device", "cuda:99"], 2, "'cuda:99' is not there"),
        (["--name", "Colors!"], 2, "'Colors!' can't name a model"),
        (["--arguments", "widths=[4]"], 2, "no argument 'widths'; there are "),
    ],
)
def test_mistakes_are_told_before_anything_is_made(
    fit: Fit, arguments: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(*arguments) == status
    assert _told(message, status, capsys)
    assert not fit.repository.exists()
    assert not fit.runs.exists()


def test_a_test_set_with_other_labels(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_colors(tmp_path / "other", pictures=1)
    (dataset / "test" / "red").rename(dataset / "test" / "cyan")
    assert fit(dataset=dataset) == 1
    assert "test has classes that " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "told"),
    [("net.onnx", "net.onnx"), ("notes.txt", "notes.txt"), ("download", "no weights to download")],
)
def test_what_has_no_weights_is_told_before_a_run_folder_is_made(
    source: str,
    told: str,
    fit: Fit,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.onnx").write_bytes(b"\x08\x08\x12\x07pytorch")
    Path("notes.txt").write_text("nothing")
    assert fit("--pretrained", source) == (2 if source == "download" else 1)
    assert told in capsys.readouterr().err
    assert not fit.runs.exists()


def test_weights_that_are_not_there(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit("--pretrained", "missing.pt") == 1
    assert "missing.pt: no file of weights is there" in capsys.readouterr().err
    assert not fit.runs.exists()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--crop-padding", "8"], 2, "8 × 8 pixels can't be padded by 8"),
        (["--validation-fraction", "0.99"], 2, "lower validation_fraction"),
        (["--optimizer", "sgd", "--learning-rate", "1e30"], 1, "finite number"),
    ],
    ids=["crop", "validation", "diverged"],
)
def test_a_training_that_fails_publishes_nothing(
    fit: Fit, arguments: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(*arguments) == status
    assert _told(message, status, capsys)
    assert checkpoint.versions(fit.repository / "colors") == []
    assert (fit.run_folder() / "recipe.json").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--architecture", "lenet", "--size", "40"],
            "does not take an input of shape (1, 40, 40)",
        ),
        (["--architecture", "convnet", "--size", "4"], "does not take an input of shape (3, 4, 4)"),
    ],
)
def test_a_size_that_the_network_does_not_take(
    fit: Fit, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert fit(*arguments) == 1
    error = capsys.readouterr().err
    assert told in error
    assert "give the input another size" in error


def test_a_start_that_the_network_can_not_have_is_told(
    fit: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit("--initialisation", "whitening") == 0
    assert "chosen: initialisation default" in capsys.readouterr().out


class TestDivergence:
    def test_nothing_is_published(self, fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ["--optimizer", "sgd", "--learning-rate", "1e30", "--epochs", "4"]
        for resumed in ([], ["--resume"]):
            assert fit(*arguments, *resumed) == 1
            told = capsys.readouterr().err
            assert "the training diverged: in epoch" in told
            assert "nothing is published: lower --learning-rate, which is 1e+30" in told
        assert checkpoint.versions(fit.repository / "colors") == []
        fit.run_folder()  # the broken-off one was taken up

    def test_an_epoch_before_is_published(
        self, fit: Fit, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        train = loop.train_one_epoch

        def diverging(training: Any, *others: Any) -> Any:
            metrics = train(training, *others)
            if not training.history:
                return metrics
            with torch.no_grad():
                next(training.network.parameters()).fill_(torch.nan)
            return Metrics(torch.nan, torch.nan)

        monkeypatch.setattr(loop, "train_one_epoch", diverging)
        assert fit("--epochs", "4") == 0
        assert "in epoch 2 its loss is not a finite" in (told := capsys.readouterr().out)
        assert "the weights of epoch 1, before, are kept" in told
        assert checkpoint.read_card(fit.version(1)).metrics["test_loss"] > 0


def test_a_path_that_would_join_two_sets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_colors(tmp_path / "cats + dogs")
    assert main(["fit", str(folder)]) == 2
    assert "' + ' in its path would join two data sets: rename it" in capsys.readouterr().err


def test_broken_files_are_named(
    fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_colors(tmp_path / "other")
    broken = [dataset / split / "red" / "3.png" for split in ("train", "test")]
    for path in broken:
        path.write_bytes(b"no picture")
    assert fit(dataset=dataset) == 0
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("left out, 2 files: broken (2)")
    with Path(lines[at + 1].removeprefix("  all of them are in ")).open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["file", "reason"]
    assert [Path(path) for path, _ in rows] == broken
    assert all(reason.startswith("broken: ") for _, reason in rows)
    assert any(line.startswith("colors: 23 pictures") for line in lines)
