"""Help: its words, its examples and what it loads."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fanlight import serve
from fanlight.command import COMMANDS, EXAMPLES, main
from service import launch
from service.settings import GROUPS, Settings
from training.recipes import recipe
from training.recipes.recipe import Recipe

PARTS = ["confusion", "curves", "dataset", "features", "kernels", "picture", "weights"]
PYTHON = re.compile(r"\b(int|float|str|bool|Path|None|NoneType|tuple|Optional|INTEGER|TEXT)\b")


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


def test_help_loads_neither_torch_nor_a_web_framework() -> None:
    program = (
        "import sys; from fanlight.command import main; main(['--help']); "
        "sys.exit(bool({'torch', 'fastapi', 'pydantic'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL)
    assert ended.returncode == 0
