"""The accuracy that `fit` reaches with few photographs a class: pretrained and from scratch.

`python -m benchmarks few_photographs --data-root DATA` writes docs/few-photographs.json after each
training, resumes after an interruption, and at its end writes the table of
docs/few-photographs.md. A draw takes a number of photographs of each class from `ants-bees/train`.
The test set is all of `ants-bees/val`, which no training sees.
"""

import argparse
import json
import random
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from rich.console import Console

from models import files
from training.commands.fit import Fit
from training.commands.target import recipe_for
from training.fitting import evaluation

DOCS = Path(__file__).parents[1] / "docs"
SIZES = (5, 10, 50, None)  # photographs a class; None takes all
DRAWS = {
    "pretrained": {5: 5, 10: 5, 50: 5, None: 5},
    "from scratch": {5: 5, 10: 5, 50: 1, None: 1},  # slow, so few of the large ones
}
_TABLE = re.compile(r"(<!-- measured -->\n).*?(<!-- end of measured -->)", re.DOTALL)
Row = dict[str, Any]


def trainings() -> Iterator[tuple[str, int | None, int]]:
    """The way, the photographs a class and the draw of each training; first all pretrained."""
    for way, draws in DRAWS.items():
        for size in SIZES:
            for draw in range(draws[size]):
                yield way, size, draw


def draw_folder(source: Path, folder: Path, size: int | None, draw: int) -> None:
    """Copy `size` photographs of each class, drawn by the seed `draw`, and all test photographs."""
    generator = random.Random(draw)
    for place in sorted((source / "train").iterdir()):
        paths = sorted(place.iterdir())
        taken = paths if size is None else generator.sample(paths, size)
        (folder / "train" / place.name).mkdir(parents=True)
        for path in taken:
            shutil.copy(path, folder / "train" / place.name)
    shutil.copytree(source / "val", folder / "test")


def measure(source: Path, way: str, size: int | None, draw: int) -> Row:
    """One `fanlight fit FOLDER`, from reading the photographs to the published model."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "ants-bees"
        draw_folder(source, folder, size, draw)
        changes: dict[str, Any] = {"seed": draw}
        if way == "from scratch":
            changes["pretrained"] = None
        recipe = recipe_for(str(folder), changes)
        with (Path(made) / "log").open("w") as log:
            started, busy = time.monotonic(), time.process_time()
            repository = Path(made) / "checkpoints"
            Fit(recipe, data_root=Path(made), repository=repository, runs=Path(made) / "runs")(
                Console(file=log)
            )
            seconds, busy = time.monotonic() - started, time.process_time() - busy
        card = json.loads((repository / "ants-bees" / "1" / "card.json").read_text())
    return {
        "way": way,
        "size": size,
        "draw": draw,
        "accuracy": card["metrics"]["test_accuracy"],
        "validation": card["metrics"].get("validation_accuracy"),
        "pictures": int(card["metrics"]["test_pictures"]),
        "seconds": round(seconds, 1),
        "processor_seconds": round(busy, 1),
        "epochs": card["training"]["recipe"]["epochs"],
        "tuned": card["training"]["recipe"].get("tuned_because"),
        "threads": torch.get_num_threads(),
    }


def table(rows: Sequence[Row]) -> str:
    """A line for each number of photographs: both ways beside each other."""
    ways = list(DRAWS)
    lines = [
        "| photographs a class | "
        + " | ".join(f"{way} | seconds | of one core" for way in ways)
        + " |",
        "|---" * (1 + 3 * len(ways)) + "|",
    ]
    for size in SIZES:
        cells = ["all" if size is None else str(size)]
        for way in ways:
            found = [row for row in rows if row["way"] == way and row["size"] == size]
            times = (_range(found, "seconds"), _range(found, "processor_seconds"))
            cells += [_accuracies(found), *times]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _accuracies(rows: Sequence[Row]) -> str:
    if not rows:
        return "not run"
    values = [row["accuracy"] for row in rows]
    within = evaluation.interval(mean(values), rows[0]["pictures"])
    each = ", ".join(f"{value:.3f}" for value in values)
    return f"**{mean(values):.3f}** ({within.low:.3f} to {within.high:.3f})<br>{each}"


def _range(rows: Sequence[Row], name: str) -> str:
    values = sorted(row[name] for row in rows)
    if not values:
        return ""
    return f"{values[0]:.0f} to {values[-1]:.0f}" if len(values) > 1 else f"{values[0]:.0f}"


def write_table(page: Path, rows: Sequence[Row]) -> None:
    text = _TABLE.sub(lambda found: found[1] + table(rows) + found[2], page.read_text())
    files.write(page, text.encode())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks few_photographs")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--output", type=Path, default=DOCS / "few-photographs.json")
    parser.add_argument("--page", type=Path, default=DOCS / "few-photographs.md")
    options = parser.parse_args()
    rows: list[Row] = json.loads(options.output.read_text()) if options.output.exists() else []
    done = {(row["way"], row["size"], row["draw"]) for row in rows}
    for training in trainings():
        if training in done:
            continue
        rows.append(measure(options.data_root / "ants-bees", *training))
        files.write_json(options.output, rows)
        print(json.dumps(rows[-1]), flush=True)
    write_table(options.page, rows)
    print(table(rows))


if __name__ == "__main__":
    main()
