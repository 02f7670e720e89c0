"""The record takes up what run folders hold, keeps what they lose, and reads as a page."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from models.errors import DamagedFileError
from training import results
from training.fitting.evaluation import Metrics
from training.fitting.records.run_folder import Run
from training.fitting.state import Epoch
from training.recipes.catalogue import CATALOGUE, recipe
from training.recipes.recipe import Recipe
from training.results import Record
from training.studies.catalogue import STUDIES

MNIST = recipe("mnist-cnn")
DOCS = Path(__file__).parents[2] / "docs"
EMPTY = Record([], [])


def finished(
    runs: Path, recipe: Recipe, accuracy: float | None = 0.9, finished: str = "2026-01-01"
) -> Run:
    """A run folder with a result of that test accuracy, and losses of 1 / epoch."""
    run = Run.start(runs, recipe)
    metrics = Metrics(0.5, 0.8)
    epochs = range(1, recipe.epochs_to_run + 1)
    run.write_history([Epoch(n, replace(metrics, loss=1 / n), metrics) for n in epochs])
    card = {"training": {"device": "cpu", "torch": "2", "commit": "c", "finished": finished}}
    run.finish(
        {
            "metrics": {"test_accuracy": accuracy, "train_accuracy": 0.95},
            "selected_epoch": 1,
            "parameters": 28938,
            "seconds": 49.0,
            "peak_memory": 1,
            "threads": 1,
            "card": card,
        }
    )
    return run


def row(text: str, name: str) -> list[str]:
    """The cells of that recipe's row."""
    lines = [line for line in text.splitlines() if line.startswith(f"| `{name}`")]
    assert len(lines) == 1
    return [cell.strip() for cell in lines[0].strip("|").split("|")]


class TestTrainings:
    def test_a_finished_training_is_a_row(self, tmp_path: Path) -> None:
        finished(tmp_path, MNIST)
        record = EMPTY.with_runs(tmp_path)
        assert [(r["recipe"], r["seed"], r["epochs"]) for r in record.trainings] == [
            ("mnist-cnn", 0, 1)
        ]
        assert row(record.markdown(), "mnist-cnn")[1:] == [
            "0.9770 (first 2,000 pictures)",
            "**0.9000**",
            "0.9500",
            "1.000 (1)",
            "28,938",
            "1",
            "0",
            "49 s",
            "`OMP_NUM_THREADS=1 fanlight fit mnist-cnn`",
        ]

    def test_seeds_make_one_row_with_mean_and_deviation(self, tmp_path: Path) -> None:
        for seed, accuracy in ((0, 0.9), (1, 0.92), (2, 0.94)):
            finished(tmp_path, replace(MNIST, seed=seed), accuracy)
        cells = row(EMPTY.with_runs(tmp_path).markdown(), "mnist-cnn")
        assert cells[2] == "**0.9200 ± 0.0200**<br>0.9000, 0.9200, 0.9400"
        assert cells[7] == "0, 1, 2"
        assert cells[-1].endswith("fit mnist-cnn --seed N`")

    def test_fewer_epochs_are_told_until_there_is_the_whole_training(self, tmp_path: Path) -> None:
        base = recipe("xo-base")
        finished(tmp_path, replace(base, epochs=3), 0.5)
        short = EMPTY.with_runs(tmp_path)
        cells = row(short.markdown(), "xo-base")
        assert cells[6] == "3 of 10"
        assert cells[-1].endswith("fit xo-base --epochs 3`")
        finished(tmp_path, base, 0.9)
        cells = row(short.with_runs(tmp_path).markdown(), "xo-base")
        assert (cells[2], cells[6]) == ("**0.9000**", "10")

    def test_an_accuracy_has_its_interval(self, tmp_path: Path) -> None:
        run = finished(tmp_path, MNIST, accuracy=0.9)
        result = run.result()
        assert result is not None
        figures = {"test_pictures": 10.0, "test_accuracy_95_low": 0.5958}
        run.finish(result | {"metrics": result["metrics"] | figures})
        cells = row(EMPTY.with_runs(tmp_path).markdown(), "mnist-cnn")
        assert cells[2] == "**0.9000** (95 %: 0.5958 to 0.9821)"

    @pytest.mark.parametrize("unknown", ["tune", "strangers", "ground", "compression"])
    def test_a_run_of_an_earlier_version_counts(self, tmp_path: Path, unknown: str) -> None:
        run = finished(tmp_path, MNIST)
        recipe = json.loads((run.folder / "recipe.json").read_text())
        del recipe[unknown]
        (run.folder / "recipe.json").write_text(json.dumps(recipe))
        assert len(EMPTY.with_runs(tmp_path).trainings) == 1

    def test_losses_at_the_epochs_that_first_descriptions_tell(self, tmp_path: Path) -> None:
        finished(tmp_path, replace(recipe("birds-vs-planes-base"), epochs=12))
        cells = row(EMPTY.with_runs(tmp_path).markdown(), "birds-vs-planes-base")
        assert cells[4] == "1.000 (1), 0.100 (10), 0.083 (12)"

    def test_the_latest_of_equal_trainings_stays(self, tmp_path: Path) -> None:
        finished(tmp_path, MNIST, 0.8, finished="2026-03-01")
        finished(tmp_path, MNIST, 0.7, finished="2026-02-01")
        assert [r["metrics"]["test_accuracy"] for r in EMPTY.with_runs(tmp_path).trainings] == [0.8]

    def test_what_is_recorded_outlives_its_run_folder(self, tmp_path: Path) -> None:
        finished(tmp_path / "runs", MNIST)
        record = EMPTY.with_runs(tmp_path / "runs")
        assert record.with_runs(tmp_path / "nothing") == record

    def test_a_training_that_diverged(self, tmp_path: Path) -> None:
        finished(tmp_path, MNIST, None)
        assert row(EMPTY.with_runs(tmp_path).markdown(), "mnist-cnn")[2] == "**diverged**"

    def test_other_recipes_and_unfinished_runs_are_left_out(self, tmp_path: Path) -> None:
        finished(tmp_path, replace(MNIST, learning_rate=0.5))
        finished(tmp_path, replace(MNIST, name="my-own"))
        Run.start(tmp_path, MNIST)
        assert EMPTY.with_runs(tmp_path).trainings == []

    def test_a_recipe_that_left_the_catalogue(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        finished(tmp_path, MNIST)
        record = EMPTY.with_runs(tmp_path)
        others = {name: entry for name, entry in CATALOGUE.items() if name != "mnist-cnn"}
        monkeypatch.setattr(results, "CATALOGUE", others)
        assert record.with_runs(tmp_path).trainings == []

    def test_files_beside_run_folders_are_passed_over(self, tmp_path: Path) -> None:
        finished(tmp_path, MNIST)
        (tmp_path / "mnist-cnn" / ".DS_Store").touch()
        assert len(EMPTY.with_runs(tmp_path).trainings) == 1

    def test_recipes_without_a_run_are_named(self) -> None:
        assert set(CATALOGUE) < set(EMPTY.missing())
        assert "study dropout" in EMPTY.missing()
        assert row(EMPTY.markdown(), "mnist-cnn")[2] == "not run yet"


class TestStudies:
    RUN: ClassVar[dict[str, Any]] = {
        **{"seed": 0, "train": 0.9, "validation": 0.8, "test": 0.7, "seconds": 3.5},
        **{"also_tested": {"inverted": 0.1}, "peak_memory": 1000},
    }
    SUMMARY: ClassVar[dict[str, Any]] = {
        "name": "dropout",
        "question": "What does dropout bring?",
        "memory": True,
        "rows": [
            {
                **{"label": "none", "reported": "", "batch_size": 32, "epochs": 3},
                **{"parameters": 10, "runs": [RUN]},
            }
        ],
        "findings": [
            {
                **{"claim": "the gap is smaller", "criterion": "gap of `a` < gap of `b`"},
                **{"earlier": "", "remark": "", "held": [{"seed": 0, "holds": True}]},
            }
        ],
    }

    def write(self, runs: Path, name: str, summary: dict[str, Any] = SUMMARY) -> None:
        folder = runs / "studies" / name
        folder.mkdir(parents=True)
        (folder / "study.json").write_text(json.dumps(summary))

    def test_a_study_is_a_section(self, tmp_path: Path) -> None:
        self.write(tmp_path, "dropout")
        record = EMPTY.with_runs(tmp_path)
        text = record.markdown()
        assert f"### dropout\n\n{STUDIES['dropout'].question}" in text  # in today's words
        assert "- **Seen** (one seed): the gap is smaller" in text
        assert record.with_runs(tmp_path / "nothing") == record

    def test_runs_of_further_seeds_join_what_is_recorded(self, tmp_path: Path) -> None:
        self.write(tmp_path / "first", "dropout")
        row = self.SUMMARY["rows"][0] | {"runs": [self.RUN | {"seed": 1, "train": 0.8}]}
        held = {"held": [{"seed": 1, "holds": False}]}
        finding = self.SUMMARY["findings"][0] | held
        further = self.SUMMARY | {"rows": [row], "findings": [finding]}
        self.write(tmp_path / "second", "dropout", further)
        record = EMPTY.with_runs(tmp_path / "first").with_runs(tmp_path / "second")
        text = record.markdown()
        assert "| none |  | 0.8500 ± 0.0707 |" in text
        assert "- **Unclear** (1 of 2 seeds): the gap is smaller" in text

    def test_quick_looks_are_left_out(self, tmp_path: Path) -> None:
        self.write(tmp_path, "dropout-quick")
        assert EMPTY.with_runs(tmp_path).studies == []


class TestFile:
    def test_what_is_written_is_read_back(self, tmp_path: Path) -> None:
        finished(tmp_path, MNIST)
        record = EMPTY.with_runs(tmp_path)
        (tmp_path / "results.json").write_text(json.dumps(record.as_json()))
        assert Record.read(tmp_path / "results.json") == record
        assert Record.read(tmp_path / "absent.json") == EMPTY

    @pytest.mark.parametrize("content", ["[]", "{}", "no json"])
    def test_something_else_is_refused(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "results.json").write_text(content)
        with pytest.raises(DamagedFileError, match=r"results\.json (is|must)"):
            Record.read(tmp_path / "results.json")

    def test_the_page_in_docs_is_that_of_its_record(self) -> None:
        assert Record.read(DOCS / "results.json").markdown() == (DOCS / "results.md").read_text()
