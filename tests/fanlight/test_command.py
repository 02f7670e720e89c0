"""The command line: help, order of words, mistakes and what they are answered with."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fanlight import serve
from fanlight.command import COMMANDS, EXAMPLES, main
from models.files import EMPTY_PATH
from service import launch
from service.settings import GROUPS, Settings
from training.commands.calibrate import Calibrate
from training.commands.evaluate import Evaluate
from training.commands.export import Export
from training.commands.fit import Fit
from training.commands.import_weights import Import
from training.commands.look import Look
from training.commands.profile import Profile
from training.commands.push import Push
from training.commands.results import Results
from training.commands.study import Study
from training.commands.visualize import Visualize
from training.recipes import recipe
from training.recipes.recipe import Recipe

PARTS = ["confusion", "curves", "dataset", "features", "kernels", "picture", "weights"]
PYTHON = re.compile(r"\b(int|float|str|bool|Path|None|NoneType|tuple|Optional|INTEGER|TEXT)\b")


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The commands that would have run."""
    calls: list[Any] = []
    for kind in (
        Calibrate,
        Evaluate,
        Export,
        Fit,
        Import,
        Look,
        Profile,
        Push,
        Results,
        Study,
        Visualize,
    ):
        monkeypatch.setattr(kind, "__call__", lambda self, console: calls.append(self))
    monkeypatch.setattr(launch, "serve", calls.append)
    return calls


def test_help_names_every_command_in_a_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    for name, entry in COMMANDS.items():
        assert f"\n{entry.group}:\n" in told
        assert re.search(rf"\n  {name} +{re.escape(entry.help)}\n", told)
    assert "Examples:\n" in told


@pytest.mark.parametrize(
    "words", [*([name] for name in COMMANDS), *(["visualize", part] for part in PARTS)]
)
def test_help_of_a_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--help"]) == 0
    told = capsys.readouterr().out
    assert f"fanlight {' '.join(words)} " in told
    if words != ["completion"] and len(words) == 1:
        assert f"\n  fanlight {words[0]}" in told  # an example
    assert PYTHON.search(told) is None


def test_examples_are_command_lines_that_are_taken(
    called: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-pictures").mkdir()
    Path("checkpoints").mkdir()
    for name in ("weights.pt", "net.onnx"):
        Path(name).touch()
    examples = [each for entry in COMMANDS.values() for each in entry.examples]
    lines = [each.line for each in (*examples, *serve.EXAMPLES, *EXAMPLES)]
    for line in lines:
        if line.startswith("eval "):  # for a shell
            continue
        *variables, _ = line.partition("fanlight")[0].split(" ")
        words = shlex.split(line.partition("fanlight")[2])
        with monkeypatch.context() as patch:
            for name, value in (each.split("=") for each in variables):
                patch.setenv(name, value)
            patch.setattr(launch, "refusal", lambda _: None)
            assert main(words) == 0, line
    assert len(called) == len(lines) - 3  # `fit --list`, `fit mnist --help` and `eval` run nothing


def test_help_of_a_setting_tells_default_unit_and_variable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["serve", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "[default: 32 MiB; env: FANLIGHT_MAX_BODY_BYTES]" in told
    assert "[default: 30 s; env: FANLIGHT_REQUEST_TIMEOUT]" in told
    assert "[default: 25,000,000; env: FANLIGHT_MAX_IMAGE_PIXELS]" in told
    for name in Settings.model_fields:
        assert f"FANLIGHT_{name.upper()}]" in told


def test_the_groups_of_settings_and_recipes_hold_each_one_once() -> None:
    settings = [name for names in GROUPS.values() for name in names]
    assert sorted(settings) == sorted(Settings.model_fields)
    fields = [name for names in recipe.GROUPS.values() for name in names]
    assert sorted(fields) == sorted(Recipe.__dataclass_fields__)


def test_help_of_fit_shows_the_folder_first(capsys: pytest.CaptureFixture[str]) -> None:
    main(["fit", "--help"])
    usage = "Usage: fanlight fit FOLDER [OPTIONS]\n       fanlight fit RECIPE [OPTIONS]\n"
    assert capsys.readouterr().out.startswith(usage)


def test_help_of_a_recipe_shows_its_values(capsys: pytest.CaptureFixture[str]) -> None:
    main(["fit", "mnist-cnn", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "[default: mnist-cnn]" in told
    assert "--learning-rate X The highest of the schedule; none chooses by" in told
    assert "[default: 0.001]" in told


@pytest.mark.parametrize(
    "line",
    [
        "fit FOLDER --name pets --epochs 3",
        "fit --name pets FOLDER --epochs 3",
        "fit --name pets --epochs 3 FOLDER",
        "fit --epochs=3 --name=pets FOLDER",
        "fit --arguments widths=[4] channels=3 FOLDER --name pets --epochs 3",
        "fit --mean 0.5 0.5 -0.5 --name pets --epochs 3 FOLDER",
    ],
)
def test_options_stand_in_any_order(line: str, called: list[Any], tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    assert main(line.replace("FOLDER", str(folder)).split()) == 0
    (command,) = called
    assert (command.recipe.name, command.recipe.epochs) == ("pets", 3)
    assert command.recipe.dataset == str(folder)
    assert command.recipe.mean == ((0.5, 0.5, -0.5) if "--mean" in line else ())


@pytest.mark.parametrize(
    "line",
    [
        "visualize features colors 7.png --layers conv1 conv2 --output drawn",
        "visualize --output drawn features --layers conv1 conv2 -- colors 7.png",
        "visualize features colors --layers=conv1 --layers conv2 --output drawn -- 7.png",
    ],
)
def test_options_of_parts_stand_in_any_order(line: str, called: list[Any]) -> None:
    assert main(line.split()) == 0
    (command,) = called
    assert (command.what.model, str(command.what.file)) == ("colors", "7.png")
    assert (command.what.layers, str(command.output)) == (("conv1", "conv2"), "drawn")


def test_a_value_of_a_recipe_can_be_left_open(called: list[Any]) -> None:
    assert main(["fit", "mnist", "--epochs", "none", "--no-flip", "--batch_size", "9"]) == 0
    chosen: Recipe = called[0].recipe
    assert (chosen.epochs, chosen.flip, chosen.batch_size) == (None, False, 9)


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


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ("--max-body-bytes=2 MB", "max_body_bytes", 2_000_000),
        ("--max-held-bytes=1GiB", "max_held_bytes", 2**30),
        ("--request-timeout=500 ms", "request_timeout", 0.5),
        ("--request-timeout=20", "request_timeout", 20),
        ("--watch-interval=1 min", "watch_interval", 60),
        ("--max-image-pixels=1,000,000", "max_image_pixels", 1_000_000),
    ],
)
def test_units_are_understood(given: str, name: str, value: float, called: list[Any]) -> None:
    assert main(["serve", "--port=0", given]) == 0
    assert getattr(called[0], name) == value


def test_a_bad_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FANLIGHT_MAX_IMAGES", "few")
    assert main(["serve"]) == 2
    error = capsys.readouterr().err
    assert ", not 'few' (variable FANLIGHT_MAX_IMAGES)\n" in error


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"fanlight \d+\.\d+\.\d+\n|fanlight 0\n", capsys.readouterr().out)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert f"_FANLIGHT_COMPLETE={shell}_complete" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("fanlight ev", ["evaluate"]),
        (
            "fanlight fit fashion-mnist-le",
            ["fashion-mnist-lenet", "fashion-mnist-lenet-dropout", "fashion-mnist-lenet-plain"],
        ),
        ("fanlight fit mnist --sche", ["--schedule"]),
        ("fanlight fit mnist --optimizer a", ["adam"]),
        ("fanlight visualize fe", ["features"]),
        ("fanlight fit mnist --architecture lenet-", ["lenet-plain"]),
        ("fanlight import weights.pt --architecture torchvision/alex", ["torchvision/alexnet"]),
        ("fanlight evaluate mnist-", ["mnist-cnn"]),
        ("fanlight visualize kernels birds-vs-planes-", ["birds-vs-planes-batchnorm"]),
        (
            "fanlight evaluate mnist --dataset fashion-",
            ["fashion-mnist", "fashion-mnist-inverted", "fashion-mnist-on-white"],
        ),
        ("fanlight visualize dataset mn", ["mnist", "mnist-inverted"]),
        ("fanlight profile mnist-c", ["mnist-cnn"]),
        ("fanlight evaluate mnist --device cp", ["cpu"]),
        ("fanlight serve --max-im", ["--max-images", "--max-image-pixels"]),
    ],
)
def test_words_are_completed(
    line: str,
    completed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("_FANLIGHT_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.split()
    words = [word.removeprefix("plain,") for word in lines if word.startswith("plain,")]
    assert sorted(set(words)) == sorted(completed)


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


def test_help_loads_neither_torch_nor_a_web_framework() -> None:
    program = (
        "import sys; from fanlight.command import main; main(['--help']); "
        "sys.exit(bool({'torch', 'fastapi', 'pydantic'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL)
    assert ended.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("module", ["fanlight", "training", "service"])
def test_the_modules_lead_to_the_command(module: str) -> None:
    command = [sys.executable, "-m", module, "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told.startswith(f"Usage: fanlight {'serve ' if module == 'service' else ''}[OPTIONS]")


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


@pytest.mark.parametrize("labels", [["--labels=cat", "dog"], ["--labels", "cat", "--labels=dog"]])
def test_several_values_may_begin_with_an_equals_sign(
    labels: list[str], called: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("weights.pt").touch()
    assert main(["import", "weights.pt", "--architecture", "mlp", *labels]) == 0
    assert called[-1].labels == ("cat", "dog")


def test_a_file_that_begins_with_a_dash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-dash.pt").touch()
    line = ["import", "-dash.pt", "--architecture", "mlp", "--labels", "a", "b"]
    assert main(line) == 2
    assert "-dash.pt is taken for an option: write ./-dash.pt" in capsys.readouterr().err
    Path("-dash.pt").unlink()
    assert main(line) == 2
    assert "no option -d" in capsys.readouterr().err


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
