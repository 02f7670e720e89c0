"""What is typed wrongly: the exit code, and where the error leads."""

import sys
from pathlib import Path
from typing import Any

import pytest

from fanlight.command import main
from models.files import EMPTY_PATH


@pytest.mark.parametrize(
    ("line", "nearest"),
    [
        ("serv", "'serve'"),
        ("evalute mnist", "'evaluate'"),
        ("visualize featurs", "'features'"),
        ("fit mnsit", "'mnist'"),
        ("fit fashion-mnist-lenett --epochs 1", "'fashion-mnist-lenet'"),
        ("study dropuot", "'dropout'"),
        ("serve --prot 1", "--port"),
        ("fit mnist --epoch 3", "--epochs"),
        ("fit mnist --optimizer adma", "'adam'"),
        ("evaluate mnist --split tset", "'test'"),
        ("serve --log-level inf", "'info'"),
        ("serve --runtime onx", "'onnx'"),
        ("completion bsh", "'bash'"),
    ],
)
def test_what_is_misspelt_is_answered_with_the_nearest(
    line: str, nearest: str, called: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert f"did you mean {nearest}?" in error.replace("; did", " did")
    assert called == []


@pytest.mark.parametrize(
    ("word", "meant"), [("train", "fit"), ("run", "serve"), ("start", "serve")]
)
def test_a_word_that_people_try_first_leads_to_the_command(
    word: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word, "mnist"]) == 2
    assert f"no command '{word}': it is called '{meant}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["fit", "mnist", "--runs", ""],
        ["fit", "mnist", "--repository", ""],
        ["visualize", "weights", "mnist-cnn", "--output", ""],
        ["visualize", "features", "mnist-cnn", ""],
        ["visualize", "curves", ""],
        ["import", "", "--labels", "a", "b"],
        ["key", "alice", "--api-key-file", ""],
        ["results", "--runs", ""],
    ],
)
def test_an_empty_name_is_not_the_working_folder(
    words: list[str], called: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert EMPTY_PATH in capsys.readouterr().err
    assert called == []


@pytest.mark.parametrize("line", ["fit mnist --architecture", "fit --name", "fit", "fit --nme x"])
def test_a_command_s_mistake_leads_to_its_own_help(
    line: str, called: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == 2
    assert capsys.readouterr().err.endswith("See fanlight fit --help\n")


def test_a_misspelt_variable_is_answered_with_the_nearest(
    called: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FANLIGHT_REPOSITROY", "models")
    monkeypatch.setenv("FANLIGHT_MAX_IMAGES", "4")  # the service's
    assert main(["evaluate", "mnist"]) == 0
    assert capsys.readouterr().err == (
        "warning: nothing reads the variable FANLIGHT_REPOSITROY; "
        "did you mean FANLIGHT_REPOSITORY?\n"
    )


@pytest.mark.parametrize(
    "line",
    [
        "fit",
        "evaluate",
        "evaluate mnist cifar",
        "fit mnist --epochs",
        "fit mnist --epochs many",
        "fit mnist --epochs 0",
        "import weights.pt",
        "serve --port x",
        "serve --max-body-bytes 3lb",
        "serve --request-timeout 3d",
        "--verbose",
        "",
    ],
)
def test_mistakes_of_usage_have_exit_code_2_and_no_traceback(
    line: str, called: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err
    assert "Traceback" not in printed.err
    assert called == []


def test_a_bad_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FANLIGHT_MAX_IMAGES", "few")
    assert main(["serve"]) == 2
    error = capsys.readouterr().err
    assert ", not 'few' (variable FANLIGHT_MAX_IMAGES)\n" in error


def test_what_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("training.commands.eval")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "training.plots", raising=False)
    monkeypatch.setitem(sys.modules, "rich.table", None)
    assert main(["evaluate", "mnist"]) == 2
    error = capsys.readouterr().err
    assert "pip install 'fanlight[training]'" in error


@pytest.mark.parametrize(
    "words",
    [
        ["profile", "mlp", "--batch-size", "0"],
        ["study", "dropout", "--jobs", "0"],
        ["results", "--docs", "nowhere"],
        ["fit", "mnist", "--epochs", "0"],
    ],
    ids=" ".join,
)
def test_an_option_that_can_not_be_is_a_mistake_of_usage(words: list[str]) -> None:
    assert main(words) == 2


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("fit", "FOLDER|RECIPE is missing; for example: fanlight fit "),
        ("visualize kernels", "MODEL is missing; for example: fanlight visualize kernels "),
        ("import", "WEIGHTS is missing; for example: fanlight import "),
        ("fit xo --epochs two", "--epochs: should be a whole number, not 'two'"),
        ("fit xo --mean a", "--mean: should be a number, not 'a'"),
        ("fit xo --architecture lenett", "no architecture 'lenett'; did you mean 'lenet'?"),
        ("fit xo --name a/b", "'a/b' can't name a model"),
        ("export xo --format onix", "no export format 'onix'; did you mean 'onnx'?"),
        ("profile lenet --device cudo", "no device 'cudo'; take auto, cpu"),
        ("import " + "x" * 300, "File name too long"),
        ("export mnist --layout nhwc", "--layout is of the pixels that go in with --preprocessing"),
        ("fit xo --pretrained download", "convnet has no weights to download; name a file"),
    ],
)
def test_what_was_typed_wrongly_is_an_error_of_usage(
    line: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.endswith(" --help\n")
