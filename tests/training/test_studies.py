"""Studies: runs that are not repeated, verdicts that follow the figures, a report with pictures."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from fanlight.command import main
from models.architectures import registry
from training.data import datasets
from training.fitting import loop
from training.fitting.evaluation import Metrics
from training.fitting.loop import Epoch
from training.fitting.run_folder import WEIGHTS, Run
from training.recipes.recipe import Recipe
from training.studies import report, runner
from training.studies.catalogue import STUDIES
from training.studies.study import Finding, Measured, Study, Variant

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


def result(validation: float = 0.9, train: float = 0.95, deviation: float = 0.1) -> Measured:
    """A hundred epochs with these figures."""
    epochs = [Epoch(n, Metrics(0.1, train), Metrics(0.1, validation), 0.01) for n in range(1, 101)]
    return Measured(
        train=train,
        validation=validation,
        test=validation,
        parameters=10,
        seconds=1.0,
        peak_memory=2**20,
        history=tuple(epochs),
        weight_deviations={"0.weight": deviation, "0.bias": 1.0},
    )


STUDY = Study(
    "width",
    "Do more hidden units help?",
    (Variant("4", RECIPE, "less", hidden="0"), Variant("8", WIDER)),
    (
        Finding("both ran", lambda r: len(r) == 2),
        Finding("never", lambda r: r["4"].train > 2, "accuracies end at 1"),
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
        assert "Not judged (quick): both ran" in text
        summary = json.loads((target / "study.json").read_bytes())
        assert [row["epochs"] for row in summary["rows"]] == [1, 1]
        first = finished(tmp_path)
        assert len(first) == 2

        (tmp_path / "runs" / "studies" / "runs" / max(first) / "result.json").unlink()
        capsys.readouterr()
        assert run(tmp_path, colors_folder, "--quick") == 0
        assert "1 runs, 1 epochs" in capsys.readouterr().out
        second = finished(tmp_path)
        assert second[min(first)] == first[min(first)]
        assert second[max(first)] > first[max(first)]

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
    RESULTS: Mapping[str, Measured] = {"4": result(0.8), "8": result(math.nan, math.nan)}

    def test_verdicts_and_reasons(self) -> None:
        text = report.markdown(report.summary(STUDY, self.RESULTS, quick=False))
        assert "- Seen: both ran" in text
        assert "- Not seen: never (accuracies end at 1)" in text

    def test_figures(self) -> None:
        text = report.markdown(report.summary(STUDY, self.RESULTS, quick=False))
        assert "| 4 | less | 0.9500 | 0.8000 | 0.1500 | 0.8000 | 100 | 10 | 1 s |\n" in text
        assert "| 8 |  | diverged | diverged | diverged | diverged |" in text

    def test_memory_where_the_study_is_about_it(self) -> None:
        study = replace(STUDY, memory=True)
        text = report.markdown(report.summary(study, self.RESULTS, quick=False))
        assert "| time | peak memory |" in text
        assert "| 100 | 10 | 1 s | 1 MiB |\n" in text

    def test_hidden_values_are_those_of_the_runs_network(
        self, tmp_path: Path, colors_folder: Path
    ) -> None:
        run = Run.at(tmp_path / "run", RECIPE)
        network = loop.build_network(RECIPE, 3, torch.device("cpu"))
        run.write_tensors(WEIGHTS, network.state_dict())
        found = report.hidden_values(STUDY, {"4": run}, colors_folder.parent)
        test = datasets.load("colors", "test", colors_folder.parent, RECIPE.input)
        pixels = RECIPE.input.normalize(test.images).flatten(1)
        assert list(found) == ["4"]
        torch.testing.assert_close(found["4"], network.get_submodule("0")(pixels))

    def test_unfinished_runs_have_no_figures(self, tmp_path: Path) -> None:
        Run.at(tmp_path / "run", RECIPE)
        with pytest.raises(OSError, match=r"history.csv|no finished run"):
            report.measured(Run(tmp_path / "run"))


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
        figures = {label: result() for label in labels}
        for finding in study.findings:
            assert finding.holds(figures) in (True, False)
        assert all(v.recipe.epochs_to_run >= 1 for v in study.quick().variants)

    def test_the_studies_of_the_reference_are_there(self) -> None:
        assert set(STUDIES) == {
            *("scaling", "batch-size", "optimizer", "learning-rate", "learning-rate-unscaled"),
            *("weight-distributions", "annealing", "depth", "batch-normalisation", "dropout"),
            *("regularisation", "lenet", "batch-memory", "alexnet", "xo-channels", "xo-depth", "xo-pooling"),
        }

    @pytest.mark.parametrize(
        ("study", "good", "bad"),
        [
            ("dropout", {"0.25": result(0.89, 0.9)}, {"0.25": result(0.8, 0.99)}),
            ("batch-size", {"10,000": result(0.7)}, {"10,000": result(0.95)}),
            ("depth", {"0 hidden": result(0.8, 0.85), "2 hidden": result(0.85, 1.0)}, {}),
            ("scaling", {"0 to 255": result(math.nan)}, {"0 to 255": result(0.8)}),
        ],
    )
    def test_findings_follow_the_figures(
        self, study: str, good: dict[str, Measured], bad: dict[str, Measured]
    ) -> None:
        plain = {variant.label: result() for variant in STUDIES[study].variants}
        findings = STUDIES[study].findings
        assert all(finding.holds(plain | good) for finding in findings)
        assert not all(finding.holds(plain | bad) for finding in findings)
