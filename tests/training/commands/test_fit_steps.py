"""`fit` records figures every N steps, where it is asked to, and names its first predictions."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fanlight.command import main
from models import checkpoint
from tests.training.commands.fitting import Fit
from tests.training.pictures import write_colors
from training import plots
from training.fitting import predicting
from training.fitting.records.run_folder import Run
from training.fitting.records.steps import Step
from training.fitting.state import Epoch

pytestmark = pytest.mark.slow

EVERY = ("--evaluate-every-steps", "2")
ON = ("--evaluate-on", "5")


def steps(fit: Fit) -> list[Step]:
    return Run(fit.run_folder()).steps()


class TestFigures:
    def test_loss_and_learning_rate_are_in_the_run_folder(self, fit: Fit) -> None:
        assert fit(*EVERY) == 0  # 21 pictures, 3 steps an epoch
        assert [(row.number, row.epoch) for row in steps(fit)] == [(2, 1), (4, 2), (6, 2)]
        assert all(row.mean_loss and row.learning_rate and not row.test for row in steps(fit))

    def test_test_pictures_are_evaluated_too(
        self, fit: Fit, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert fit(*EVERY, *ON) == 0
        assert [row.number for row in steps(fit)] == [0, 2, 4, 6]
        assert {row.test_pictures for row in steps(fit)} == {5}
        printed = capsys.readouterr().out
        figure = r"\d\.\d{4}"
        assert re.search(rf"^step 0  accuracy on 5 test pictures {figure}$", printed, re.MULTILINE)
        line = rf"^epoch 2/2  step 4  loss {figure}  accuracy on 5 test pictures {figure}$"
        assert re.search(line, printed, re.MULTILINE)

    def test_they_are_drawn(self, fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
        drawn: list[Any] = []

        def curves(*arguments: Any) -> bytes:
            drawn.extend(arguments)
            return b""

        monkeypatch.setattr(plots, "curves", curves)
        assert fit(*EVERY, *ON) == 0
        assert drawn[3] == steps(fit)

    def test_the_weights_and_the_recipe_are_the_same_as_without(self, fit: Fit) -> None:
        for options in ((), (*EVERY, *ON)):
            assert fit("--flip", *options) == 0
        cards = [checkpoint.read_card(fit.version(number)) for number in (1, 2)]
        assert cards[0].weights_sha256 == cards[1].weights_sha256
        trained = [card.training for card in cards]
        assert trained[0] is not None
        assert trained[1] is not None
        assert trained[0].recipe == trained[1].recipe

    def test_without_the_option_there_are_none(self, fit: Fit) -> None:
        assert fit() == 0
        assert not (fit.run_folder() / "steps.csv").exists()

    def test_more_pictures_than_there_are(
        self, fit: Fit, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert fit(*EVERY, "--evaluate-on", "2000") == 0
        told = "--evaluate-on 2,000: the test set has 24 pictures, all of which are evaluated"
        assert told in capsys.readouterr().out
        assert {row.test_pictures for row in steps(fit)} == {24}

    def test_first_pictures_that_lack_classes(
        self, fit: Fit, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A folder is read class by class."""
        assert fit(*EVERY, "--evaluate-on", "9") == 0
        told = "--evaluate-on 9: the first test pictures show nothing of red, so their accuracy"
        assert told in capsys.readouterr().out

    def test_a_head_alone_takes_no_steps(
        self, fit: Fit, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert fit("--tune", "head", *EVERY, *ON) == 0
        assert "there is no steps.csv: only the head was fitted" in capsys.readouterr().out
        assert not (fit.run_folder() / "steps.csv").exists()

    def test_a_training_that_diverges_keeps_them(self, fit: Fit) -> None:
        diverging = ("--optimizer", "sgd", "--learning-rate", "1e30", "--epochs", "4")
        assert fit(*diverging, *EVERY, *ON) == 1
        assert str(steps(fit)[-1].mean_loss) == "nan"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--evaluate-every-steps", "0"], "--evaluate-every-steps must be 1 or more, not 0"),
        (["--evaluate-every-steps", "-5"], "--evaluate-every-steps must be 1 or more, not -5"),
        ([*EVERY, "--evaluate-on", "0"], "--evaluate-on must be 1 or more, not 0"),
        (["--evaluate-on", "9"], "but not when: add --evaluate-every-steps N"),
        (["--evaluate-every-steps", "often"], "should be a whole number, not 'often'"),
    ],
)
def test_options_that_can_not_be(
    options: list[str], told: str, fit: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(*options) == 2
    assert told in " ".join(capsys.readouterr().err.split())
    assert not fit.runs.exists()


def test_the_help_says_that_nothing_is_selected(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--help"]) == 0
    assert "Nothing is selected by this" in " ".join(capsys.readouterr().out.split())


class TestResume:
    def broken_off(self, fit: Fit, epoch: int, *options: str) -> None:
        """Once the state of that epoch is written, and before anything else is."""
        original = Run.write_history

        def write_history(run: Run, history: list[Epoch]) -> None:
            if len(history) == epoch:
                raise KeyboardInterrupt
            original(run, history)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Run, "write_history", write_history)
            assert fit("--epochs", "3", *options) == 130

    @pytest.mark.parametrize("epoch", [1, 2, 3])
    def test_the_file_is_that_of_an_unbroken_training(
        self, fit: Fit, tmp_path: Path, epoch: int
    ) -> None:
        self.broken_off(fit, epoch, *EVERY, *ON)
        assert fit("--epochs", "3", *EVERY, *ON, "--resume") == 0
        unbroken = Fit(tmp_path / "unbroken", fit.dataset)
        assert unbroken("--epochs", "3", *EVERY, *ON) == 0
        files = [(each.run_folder() / "steps.csv").read_bytes() for each in (fit, unbroken)]
        assert files[0] == files[1]

    def test_without_the_option_those_before_the_break_stay(self, fit: Fit) -> None:
        self.broken_off(fit, 2, *EVERY)
        before = steps(fit)
        assert fit("--epochs", "3", "--resume") == 0
        assert steps(fit) == before
        assert [row.number for row in before] == [2, 4, 6]

    def test_with_the_option_only_after_the_break_those_after_it_are_there(self, fit: Fit) -> None:
        self.broken_off(fit, 2)
        assert fit("--epochs", "3", *EVERY, *ON, "--resume") == 0
        assert [(row.number, row.epoch) for row in steps(fit)] == [(8, 3), (9, 3)]

    def test_a_damaged_file_is_named(self, fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
        self.broken_off(fit, 2, *EVERY)
        path = fit.run_folder() / "steps.csv"
        path.write_text(path.read_text()[:-5])
        assert fit("--epochs", "3", *EVERY, "--resume") == 1
        assert "steps.csv line 4 is cut off" in capsys.readouterr().err

    @pytest.mark.parametrize("steps", [5, {}, {"loss": "x"}])
    def test_a_damaged_state_is_named(
        self, fit: Fit, capsys: pytest.CaptureFixture[str], steps: Any
    ) -> None:
        self.broken_off(fit, 2, *EVERY)
        run = Run(fit.run_folder())
        run.write_tensors("state.pt", {**(run.state() or {}), "steps": steps})
        assert fit("--epochs", "3", *EVERY, "--resume") == 1
        assert "state.pt is not the state of a training: remove it" in capsys.readouterr().err


class TestFirstPictures:
    def predicting(self, monkeypatch: pytest.MonkeyPatch, predicted: list[int]) -> None:
        """The first test pictures are taken for these; all others are taken for the first class."""

        def predict(network: Any, images: Any, spec: Any) -> Tensor:
            targets = torch.zeros(len(images), dtype=torch.long)
            targets[: len(predicted)] = torch.tensor(predicted)[: len(images)]
            return torch.eye(3)[targets]

        monkeypatch.setattr(predicting, "predict", predict)

    def test_they_are_named_with_the_right_class_where_they_are_wrong(
        self, fit: Fit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.predicting(monkeypatch, [0, 2, 1, 0])
        assert fit() == 0
        assert (
            "the first 10 test pictures are taken for: blue, red (is blue), green (is blue), blue, "
            "blue, blue, blue, blue, blue (is green), blue (is green)\n"
        ) in capsys.readouterr().out

    def test_they_are_drawn(self, fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
        self.predicting(monkeypatch, [0, 2])
        drawn: list[Any] = []

        def first(*arguments: Any) -> bytes:
            drawn.extend(arguments)
            return b""

        monkeypatch.setattr(plots, "first", first)
        assert fit() == 0
        images, actual, predicted, title = drawn
        assert len(images) == 10
        assert actual == ["blue"] * 8 + ["green"] * 2
        assert predicted == ["blue", "red", *["blue"] * 8]
        assert title.startswith("The first 10 test pictures, 7 right")

    def test_fewer_than_ten(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        fit = Fit(tmp_path, write_colors(tmp_path / "few", pictures=2))
        assert fit() == 0
        assert "the first 6 test pictures are taken for: " in capsys.readouterr().out
        assert (fit.run_folder() / "first.png").read_bytes().startswith(b"\x89PNG")
