"""Studies: runs that are not repeated, verdicts that follow the figures, a report with pictures."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from fanlight.command import main
from models.architectures import registry
from training.data import datasets
from training.data.datasets import DatasetError
from training.fitting import state
from training.fitting.records.run_folder import WEIGHTS, Run
from training.recipes.recipe import Recipe
from training.studies import report, runner
from training.studies.catalogue import STUDIES
from training.studies.figures import train
from training.studies.perceptrons import PERCEPTRONS
from training.studies.study import Criterion, Finding, Study, Variant

pytestmark = pytest.mark.slow

RECIPE = Recipe(
    name="mlp",
    dataset="colors",
    architecture="mlp",
    epochs=10,
    batch_size=8,
    optimizer="sgd",
    learning_rate=0.1,
    arguments={"hidden": [4]},
    validation_fraction=0.25,
    selection="last",
)
WIDER = replace(RECIPE, arguments={"hidden": [8]})


STUDY = Study(
    "width",
    "Do more hidden units help?",
    (Variant("4", RECIPE, "less", hidden="0"), Variant("8", WIDER)),
    (
        Finding("both ran", Criterion("two runs", frozenset({"4", "8"}), lambda r: len(r) == 2)),
        Finding(
            "never", train("4") >= 2, "training accuracy above 1", remark="accuracies end at 1"
        ),
    ),
)


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Study:
    """The only study that the command finds under the name `dropout`."""
    monkeypatch.setitem(STUDIES, "dropout", STUDY)
    return STUDY


def run(folder: Path, colors_folder: Path, *arguments: str) -> int:
    root = ["--data-root", str(colors_folder.parent), "--device", "cpu"]
    return main(["study", "dropout", "--runs", str(folder / "runs"), *root, *arguments])


def finished(folder: Path) -> dict[str, float]:
    """When each run's result was written."""
    files = (folder / "runs" / "studies" / "runs").glob("*/result.json")
    return {file.parent.name: file.stat().st_mtime for file in files}


class TestCommand:
    @pytest.mark.thorough
    def test_a_report_and_no_run_twice(
        self,
        study: Study,
        tmp_path: Path,
        colors_folder: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert run(tmp_path, colors_folder, "--quick", "--jobs", "2") == 0
        target = tmp_path / "runs" / "studies" / "width-quick"
        names = sorted(path.name for path in target.iterdir())
        assert names == [
            "curves.png",
            "hidden.png",
            "report.md",
            "study.json",
            "weights-1.png",
            "weights-2.png",
        ]
        with Image.open(target / "curves.png") as image:
            image.verify()
        text = (target / "report.md").read_text()
        assert "| 4 | less |" in text
        assert "Not judged: both ran" in text
        summary = json.loads((target / "study.json").read_bytes())
        assert [row["epochs"] for row in summary["rows"]] == [1, 1]
        assert [[run["seed"] for run in row["runs"]] for row in summary["rows"]] == [[0], [0]]
        first = finished(tmp_path)
        assert len(first) == 2

        (tmp_path / "runs" / "studies" / "runs" / max(first) / "result.json").unlink()
        capsys.readouterr()
        assert run(tmp_path, colors_folder, "--quick") == 0
        assert "1 runs, 1 epochs" in capsys.readouterr().out
        second = finished(tmp_path)
        assert second[min(first)] == first[min(first)]
        assert second[max(first)] > first[max(first)]

    @pytest.mark.thorough
    def test_what_is_finished_is_reported_alone(
        self,
        study: Study,
        tmp_path: Path,
        colors_folder: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert run(tmp_path, colors_folder, "--finished") == 0
        assert "dropout" not in finished(tmp_path)
        assert "width: 6 of 6 runs are not finished" in capsys.readouterr().out
        runs = tmp_path / "runs" / "studies" / "runs"
        some = [WIDER, replace(WIDER, seed=1), replace(RECIPE, seed=1)]
        list(runner.run(some, runs, colors_folder.parent, "cpu", 1))
        before = finished(tmp_path)
        assert run(tmp_path, colors_folder, "--finished") == 0
        assert finished(tmp_path) == before
        said = capsys.readouterr().out
        assert "width: 3 of 6 runs are not finished" in said
        told = json.loads((tmp_path / "runs" / "studies" / "width" / "study.json").read_text())
        seeds = {row["label"]: [each["seed"] for each in row["runs"]] for row in told["rows"]}
        assert seeds == {"4": [1], "8": [0, 1]}
        [first, _] = told["rows"][1]["runs"]
        assert first["commit"]
        assert datetime.fromisoformat(first["finished"]).date() == datetime.now(UTC).date()
        assert [each["seed"] for each in told["findings"][0]["held"]] == [1]

    def test_a_run_that_ends_with_an_error_is_named(
        self,
        study: Study,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """The first one is finished; no process is started."""
        errors = (None, DatasetError("no data set 'colors'"))

        def ended(recipes: Sequence[Recipe], *_: Any) -> Iterator[tuple[Recipe, Exception | None]]:
            yield from zip(recipes, errors, strict=True)

        monkeypatch.setattr(runner, "run", ended)
        assert run(tmp_path, tmp_path, "--quick") == 1
        told = capsys.readouterr()
        first, second = (runner.folder(Path(), each).name for each in study.quick().recipes())
        assert told.out.replace("\n", "").endswith(first)
        assert told.err == f"error: runs failed:\n  {second}: no data set 'colors'\n"

    @pytest.mark.thorough
    def test_a_run_that_fails_is_named(
        self, study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(tmp_path, tmp_path / "nothing", "--quick") == 1
        told = capsys.readouterr().err
        assert "runs failed" in told
        assert told.count("no data set 'colors'") == 2

    def test_jobs_must_be_some(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(tmp_path, tmp_path, "--jobs", "0") == 2
        assert "jobs must be 1 or more" in capsys.readouterr().err


class TestReport:
    def test_hidden_values_are_those_of_the_runs_network(
        self, tmp_path: Path, colors_folder: Path
    ) -> None:
        run = Run.at(tmp_path / "run", RECIPE)
        network = state.build_network(RECIPE, 3, torch.device("cpu"))
        run.write_tensors(WEIGHTS, network.state_dict())
        found = report.hidden_values(STUDY, {"4": run}, colors_folder.parent)
        test = datasets.load("colors", "test", colors_folder.parent, RECIPE.input)
        pixels = RECIPE.input.normalize(test.in_memory).flatten(1)
        assert list(found) == ["4"]
        torch.testing.assert_close(found["4"], network.get_submodule("0")(pixels))

    def test_unfinished_runs_have_no_figures(self, tmp_path: Path) -> None:
        Run.at(tmp_path / "run", RECIPE)
        with pytest.raises(OSError, match=r"history.csv|no finished run"):
            report.measured(Run(tmp_path / "run"), STUDY.variants[0], tmp_path)


class TestFolders:
    def test_a_recipe_has_one_folder(self, tmp_path: Path) -> None:
        assert runner.folder(tmp_path, RECIPE) == runner.folder(tmp_path, replace(RECIPE))
        assert runner.folder(tmp_path, RECIPE) != runner.folder(tmp_path, replace(RECIPE, seed=1))

    def test_shared_runs_are_made_once(self, tmp_path: Path) -> None:
        assert runner.unfinished(tmp_path, [RECIPE, WIDER, RECIPE]) == [RECIPE, WIDER]


class TestCatalogue:
    @pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
    def test_every_study_can_be_run_and_judged(self, study: Study) -> None:
        labels = [variant.label for variant in study.variants]
        assert len(set(labels)) == len(labels) >= 2
        for variant in study.variants:
            registry.architecture(variant.recipe.architecture)
            assert variant.recipe.selection == "last"
            assert variant.recipe.seed == 0
        for finding in study.findings:
            assert set() < finding.criterion.labels <= set(labels)
        assert all(v.recipe.epochs_to_run >= 1 for v in study.quick().variants)

    def test_the_studies_of_the_reference_are_there(self) -> None:
        assert set(STUDIES) == {
            *("scaling", "batch-size", "optimizer", "learning-rate", "learning-rate-unscaled"),
            *("weight-distributions", "annealing", "depth", "batch-normalisation", "dropout"),
            *("regularisation", "lenet", "batch-memory", "alexnet", "ground", "white-ground"),
            *("xo-channels", "xo-depth", "xo-pooling"),
        }

    def test_perceptrons_are_judged_in_batches_of_32(self) -> None:
        """As their author ran them, but for the one run that is about a larger batch."""
        for study in PERCEPTRONS:
            judged = {label for each in study.findings for label in each.criterion.labels}
            sizes = {v.label: v.recipe.batch_size for v in study.variants if v.label in judged}
            assert set(sizes.values()) <= {32, 10_000}
            assert [label for label, size in sizes.items() if size != 32] in ([], ["10,000"])
