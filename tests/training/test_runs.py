"""A run folder tells what was asked, how it went and what came of it."""

import csv
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from training.loop import Epoch, Metrics
from training.runs import Run


def test_a_folder_is_named_by_model_time_and_seed(tmp_path: Path) -> None:
    run = Run.start(tmp_path / "runs", "colors", seed=7)
    assert run.folder.is_dir()
    assert run.folder.parent == tmp_path / "runs" / "colors"
    assert re.fullmatch(r"\d{8}T\d{6}-seed7", run.folder.name)


def test_runs_that_start_together_get_folders_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: Run.start(tmp_path, "colors", seed=0), range(32)))
    assert len({run.folder for run in runs}) == 32
    assert all(run.folder.is_dir() for run in runs)


def test_json_is_readable(tmp_path: Path) -> None:
    Run(tmp_path).write_json("result.json", {"labels": ["größer"], "loss": 0.5})
    text = (tmp_path / "result.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"labels": ["größer"], "loss": 0.5}
    assert "größer" in text
    assert text.endswith("}\n")


def test_history_has_a_row_an_epoch(tmp_path: Path) -> None:
    history = [Epoch(1, Metrics(1.5, 0.25), Metrics(2.0, 0.125)), Epoch(2, Metrics(1.0, 0.5), None)]
    Run(tmp_path).write_history(history)
    assert (tmp_path / "history.csv").read_text() == (
        "epoch,train_loss,train_accuracy,validation_loss,validation_accuracy\n"
        "1,1.5,0.25,2.0,0.125\n"
        "2,1.0,0.5,,\n"
    )


def test_history_keeps_every_digit(tmp_path: Path) -> None:
    Run(tmp_path).write_history([Epoch(1, Metrics(1 / 3, 2 / 3), None)])
    with (tmp_path / "history.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (float(row["train_loss"]), float(row["train_accuracy"])) == (1 / 3, 2 / 3)


def test_no_draft_stays(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write("curves.png", b"png")
    run.write_json("recipe.json", {})
    run.write_history([])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "curves.png",
        "history.csv",
        "recipe.json",
    ]
