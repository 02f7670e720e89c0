"""A run folder tells what was asked, how it went and what came of it; a broken-off one is found."""

import csv
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.errors import DamagedFileError
from training.fitting.evaluation import Metrics
from training.fitting.records.run_folder import (
    LOCK,
    RECIPE,
    RESULT,
    STATE,
    Run,
    RunHeldError,
    as_json,
)
from training.fitting.state import Epoch
from training.recipes.recipe import Recipe

COLORS = Recipe("colors", "colors", "tiny", 2, 4, "adam", 0.01, {"n_channel": 8}, mean=(0.5,))


@contextmanager
def elsewhere(run: Run) -> Iterator[None]:
    """Another process holds the run, and is killed at the end."""
    script = "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); "
    script += "lock.acquire(); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script, str(run.folder / LOCK)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


class TestStart:
    def test_a_folder_is_named_by_model_time_and_seed(self, tmp_path: Path) -> None:
        run = Run.start(tmp_path / "runs", replace(COLORS, seed=7))
        assert run.folder.is_dir()
        assert run.folder.parent == tmp_path / "runs" / "colors"
        assert re.fullmatch(r"\d{8}T\d{6}-seed7", run.folder.name)

    def test_it_holds_the_recipe(self, tmp_path: Path) -> None:
        run = Run.start(tmp_path, COLORS)
        assert [path.name for path in run.folder.iterdir()] == [RECIPE]
        assert run.recipe() == as_json(COLORS)
        assert (run.recipe() or {})["mean"] == [0.5]
        assert (run.result(), run.state()) == (None, None)

    def test_runs_that_start_together_get_folders_of_their_own(self, tmp_path: Path) -> None:
        with ThreadPoolExecutor(8) as pool:
            runs = list(pool.map(lambda _: Run.start(tmp_path, COLORS), range(32)))
        assert len({run.folder for run in runs}) == 32
        assert all(run.recipe() == as_json(COLORS) for run in runs)


class TestAt:
    def test_a_folder_that_is_not_there_is_made(self, tmp_path: Path) -> None:
        run = Run.at(tmp_path / "study" / "sgd", COLORS)
        assert run.folder == tmp_path / "study" / "sgd"
        assert run.recipe() == as_json(COLORS)

    def test_what_was_done_by_the_same_recipe_stays(self, tmp_path: Path) -> None:
        run = Run.at(tmp_path / "sgd", COLORS)
        run.write_tensors(STATE, {"epoch": 1})
        run.write_json(RESULT, {"accuracy": 0.5})
        again = Run.at(tmp_path / "sgd", COLORS)
        assert again.state() == {"epoch": 1}
        assert again.result() == {"accuracy": 0.5}

    def test_what_was_done_by_another_recipe_goes(self, tmp_path: Path) -> None:
        run = Run.at(tmp_path / "sgd", COLORS)
        run.write_tensors(STATE, {"epoch": 1})
        run.write_json(RESULT, {"accuracy": 0.5})
        other = replace(COLORS, learning_rate=0.02)
        again = Run.at(tmp_path / "sgd", other)
        assert (again.state(), again.result()) == (None, None)
        assert again.recipe() == as_json(other)


class TestUnfinished:
    def test_there_is_none_at_first(self, tmp_path: Path) -> None:
        assert Run.unfinished(tmp_path / "runs", COLORS) is None

    def test_one_without_a_result(self, tmp_path: Path) -> None:
        run = Run.start(tmp_path, COLORS)
        assert Run.unfinished(tmp_path, COLORS) == run

    def test_whether_there_may_be_one_before_the_length_is_known(self, tmp_path: Path) -> None:
        open_length = replace(COLORS, epochs=None, learning_rate=None)
        assert not Run.may_go_on(tmp_path, open_length)
        run = Run.start(tmp_path, COLORS)
        assert Run.may_go_on(tmp_path, open_length)
        assert not Run.may_go_on(tmp_path, replace(open_length, seed=1))
        run.finish({"accuracy": 0.5})
        assert not Run.may_go_on(tmp_path, open_length)

    def test_the_latest_of_several(self, tmp_path: Path) -> None:
        folders = [tmp_path / "colors" / f"2026013{day}T120000-seed0" for day in (1, 0)]
        for folder in folders:
            Run.at(folder, COLORS)
        assert Run.unfinished(tmp_path, COLORS) == Run(folders[0])

    def test_a_finished_one_is_none(self, tmp_path: Path) -> None:
        run = Run.start(tmp_path, COLORS)
        run.write_tensors(STATE, {"epoch": 1})
        run.finish({"accuracy": 0.5})
        assert Run.unfinished(tmp_path, COLORS) is None
        assert run.result() == {"accuracy": 0.5}
        assert not (run.folder / STATE).exists()

    @pytest.mark.parametrize("fields", [{"seed": 1}, {"epochs": 3}, {"arguments": {}}], ids=str)
    def test_another_recipes_is_none(self, tmp_path: Path, fields: dict[str, object]) -> None:
        Run.start(tmp_path, replace(COLORS, **fields))  # type: ignore[arg-type]
        assert Run.unfinished(tmp_path, COLORS) is None

    def test_one_that_another_process_trains_is_passed_over(self, tmp_path: Path) -> None:
        run = Run.start(tmp_path, COLORS)
        with elsewhere(run):
            assert Run.unfinished(tmp_path, COLORS) is None
            with pytest.raises(RunHeldError, match="being trained by another process"), run.held():
                pass
        assert Run.unfinished(tmp_path, COLORS) == run  # that process was killed

    def test_other_files_are_passed_over(self, tmp_path: Path) -> None:
        (tmp_path / "colors" / "no recipe in it").mkdir(parents=True)
        (tmp_path / "colors" / "notes.txt").write_text("mine")
        assert Run.unfinished(tmp_path, COLORS) is None


class TestFiles:
    def test_json_is_readable(self, tmp_path: Path) -> None:
        Run(tmp_path).write_json("result.json", {"labels": ["größer"], "loss": 0.5})
        text = (tmp_path / "result.json").read_text(encoding="utf-8")
        assert json.loads(text) == {"labels": ["größer"], "loss": 0.5}
        assert "größer" in text
        assert text.endswith("}\n")

    def test_a_state_is_read_as_it_was_written(self, tmp_path: Path) -> None:
        run = Run(tmp_path)
        run.write_tensors(STATE, {"weights": {"fc": torch.arange(3)}, "seconds": 1.5, "none": None})
        state = run.state()
        assert state is not None
        assert state["weights"]["fc"].tolist() == [0, 1, 2]
        assert (state["seconds"], state["none"]) == (1.5, None)

    def test_a_state_that_is_damaged(self, tmp_path: Path) -> None:
        run = Run(tmp_path)
        run.write(STATE, b"half")
        with pytest.raises(DamagedFileError, match=r"state.pt can't be read: remove it"):
            run.state()

    def test_nothing_in_a_state_is_executed(self, tmp_path: Path) -> None:
        run = Run(tmp_path)
        run.write_tensors(STATE, Path("any object"))
        with pytest.raises(DamagedFileError, match=r"state.pt can't be read"):
            run.state()

    def test_no_draft_stays(self, tmp_path: Path) -> None:
        run = Run(tmp_path)
        run.write("curves.png", b"png")
        run.write_json("recipe.json", {})
        run.write_tensors("weights.pt", {})
        run.write_history([])
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "curves.png",
            "history.csv",
            "recipe.json",
            "weights.pt",
        ]


class TestHistory:
    HISTORY = (
        Epoch(1, Metrics(1.5, 0.25), Metrics(2.0, 0.125), 0.1),
        Epoch(2, Metrics(1.0, 0.5), None),
    )

    def test_it_has_a_row_an_epoch(self, tmp_path: Path) -> None:
        Run(tmp_path).write_history(self.HISTORY)
        assert (tmp_path / "history.csv").read_text() == (
            "epoch,train_loss,train_accuracy,validation_loss,validation_accuracy,learning_rate\n"
            "1,1.5,0.25,2.0,0.125,0.1\n"
            "2,1.0,0.5,,,\n"
        )

    def test_it_is_read_as_it_was_written(self, tmp_path: Path) -> None:
        run = Run(tmp_path)
        run.write_history(self.HISTORY)
        assert run.history() == list(self.HISTORY)

    def test_it_keeps_every_digit(self, tmp_path: Path) -> None:
        Run(tmp_path).write_history([Epoch(1, Metrics(1 / 3, 2 / 3), None)])
        with (tmp_path / "history.csv").open() as file:
            (row,) = csv.DictReader(file)
        assert (float(row["train_loss"]), float(row["train_accuracy"])) == (1 / 3, 2 / 3)

    def test_a_training_that_diverged(self, tmp_path: Path) -> None:
        run = Run(tmp_path)
        run.write_history([Epoch(1, Metrics(float("nan"), 0.5), None)])
        assert str(run.history()[0].train.loss) == "nan"
