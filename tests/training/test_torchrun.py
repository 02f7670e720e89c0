"""What torchrun tells a process."""

import pytest

from fanlight.command import main
from models.errors import OptionError
from tests.training.fitting.group import variables
from training import torchrun
from training.torchrun import Process


def test_a_process_that_was_started_alone() -> None:
    assert torchrun.process({}) is None
    assert torchrun.process({"RANK": "1"}) is None  # of another program
    assert torchrun.process(variables(0, 1, 1)) is None
    assert torchrun.is_first({})


def test_a_process_of_a_group() -> None:
    assert torchrun.process(variables(1, 3, 29500)) == Process(1, 3, 1)
    assert not torchrun.is_first(variables(1, 3, 29500))
    assert torchrun.is_first(variables(0, 3, 29500))
    assert str(Process(1, 3, 0)) == "process 1 of 3"


@pytest.mark.parametrize(
    "wrong", [{"RANK": "x"}, {"RANK": "3"}, {"RANK": "-1"}, {"LOCAL_RANK": "9"}], ids=str
)
def test_variables_that_make_no_sense(wrong: dict[str, str]) -> None:
    with pytest.raises(OptionError, match="unset them to train in one process"):
        torchrun.process(variables(0, 3, 29500) | wrong)
    assert torchrun.is_first(variables(0, 3, 29500) | wrong)  # somebody has to tell it


@pytest.mark.parametrize("line", ["fit mnist", "evaluate mnist"])
def test_a_command_under_such_variables_is_a_mistake_of_usage(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (variables(0, 3, 29500) | {"RANK": "x"}).items():
        monkeypatch.setenv(name, value)
    assert main(line.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: RANK=x")
    assert "unset them to train in one process" in error
