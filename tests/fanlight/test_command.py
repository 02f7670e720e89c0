"""The command line: the order of words, values, the version."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fanlight.command import main
from training.recipes.recipe import Recipe


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


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"fanlight \d+\.\d+\.\d+\n|fanlight 0\n", capsys.readouterr().out)


@pytest.mark.slow
@pytest.mark.parametrize("module", ["fanlight", "training", "service"])
def test_the_modules_lead_to_the_command(module: str) -> None:
    command = [sys.executable, "-m", module, "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told.startswith(f"Usage: fanlight {'serve ' if module == 'service' else ''}[OPTIONS]")


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
