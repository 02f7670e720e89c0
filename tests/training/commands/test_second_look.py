"""A second look is chosen by `fit` and `calibrate`, and `evaluate` answers with it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from fanlight.command import main
from models import checkpoint
from models.checkpoint import Card
from models.trust import SecondLook, second_look
from tests.networks import publish_tiny
from tests.training.commands.fitting import Fit
from tests.training.commands.test_evaluate import record
from tests.training.pictures import write_colors

EVERY = SecondLook(below=1, part=1)
SAID = "it looks again, mirrored, at images whose top softmax probability is below 1 (100 % of"


@pytest.fixture(autouse=True)
def choose(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """A second look at every image is chosen; the list has the targets of each choice."""
    asked: list[Tensor] = []

    def chosen(_first: Tensor, _mirrored: Tensor, targets: Tensor) -> SecondLook:
        asked.append(targets)
        return EVERY

    monkeypatch.setattr(second_look, "choose", chosen)
    return asked


def of(card: Card) -> SecondLook | None:
    assert card.calibration is not None
    return card.calibration.second_look


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_colors(tmp_path_factory.mktemp("data") / "colors", pictures=100)


@pytest.mark.parametrize("flip", [True, False])
def test_fit_gives_one_to_networks_that_were_trained_on_mirrored_pictures(
    fit: Fit, data: Path, choose: list[Tensor], flip: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--validation-fraction", "0.2", "--flip" if flip else "--no-flip")
    assert fit(*options, dataset=data) == 0
    card, told = checkpoint.read_card(fit.version(1)), " ".join(capsys.readouterr().out.split())
    assert of(card) == (EVERY if flip else None)
    assert [len(each) for each in choose] == ([60] if flip else [])
    assert (SAID in told) == flip
    assert ("test accuracy with the second look, as a service answers" in told) == flip
    assert ("test_accuracy_with_second_look" in card.metrics) == flip


@pytest.mark.parametrize(
    ("recipe", "has_one"), [(None, True), ({"flip": True}, True), ({"flip": False}, False)]
)
def test_calibrate_gives_one_unless_training_showed_left_from_right(
    tmp_path: Path, data: Path, recipe: dict[str, Any] | None, has_one: bool
) -> None:
    card: dict[str, Any] = {}
    if recipe is not None:
        card["training"] = record(tmp_path / "elsewhere", 0).model_copy(update={"recipe": recipe})
    publish_tiny(tmp_path / "repository", **card)
    place = ("--repository", str(tmp_path / "repository"), "--device", "cpu")
    assert main(["calibrate", "colors", "--data", str(data), *place]) == 0
    found = checkpoint.read_card(tmp_path / "repository" / "colors" / "2")
    assert of(found) == (EVERY if has_one else None)


def test_evaluate_answers_with_it(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ("--repository", str(tmp_path / "repository"), "--device", "cpu")
    publish_tiny(tmp_path / "repository")
    assert main(["calibrate", "colors", "--data", str(data), *place]) == 0
    looked: list[int] = []
    answer: Callable[..., Any] = SecondLook.answer

    def counted(self: SecondLook, first: Any, look: Any) -> Any:
        looked.append(len(first))
        return answer(self, first, look)

    monkeypatch.setattr(SecondLook, "answer", counted)
    told = ("--dataset", str(data), "--output", str(tmp_path / "told"))
    for version, expected in (("1", []), ("2", [300])):
        looked.clear()
        assert main(["evaluate", "colors", "--version", version, *told, *place]) == 0
        assert looked == expected
        assert json.loads((tmp_path / "told" / "evaluation.json").read_text())["pictures"] == 300


def test_export_says_that_the_file_looks_once(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = ("--repository", str(tmp_path / "repository"))
    publish_tiny(tmp_path / "repository")
    assert main(["calibrate", "colors", "--data", str(data), *place, "--device", "cpu"]) == 0
    for version, is_told in (("1", False), ("2", True)):
        capsys.readouterr()
        file = ("--format", "state_dict", "--output", f"{version}.pt", "--version", version)
        assert main(["export", "colors", *file, *place]) == 0
        assert ("it looks at an image once" in capsys.readouterr().out) == is_told
