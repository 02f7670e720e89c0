"""The run folder: what a training was asked, how it went, what it gave.

recipe.json   written first
history.csv   a row an epoch, whole after each
curves.png    loss and accuracy of both sets
result.json   the selected epoch, the test figures, the published version
confusion.png of the test set
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

from training import files
from training.loop import Epoch


@dataclass(frozen=True)
class Run:
    """A folder of one training's files, each of which appears whole."""

    folder: Path

    @classmethod
    def start(cls, root: Path, name: str, seed: int) -> "Run":
        """A new folder `<root>/<name>/<UTC time>-seed<seed>`."""
        stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-seed{seed}"
        for attempt in ["", *(f"-{n}" for n in range(2, 1000))]:
            folder = root / name / f"{stamp}{attempt}"
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                continue
            return cls(folder)
        raise FileExistsError(f"{root / name / stamp} is taken")

    def write(self, name: str, content: bytes) -> None:
        files.write(self.folder / name, content)

    def write_json(self, name: str, content: Any) -> None:
        self.write(name, json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n")

    def write_history(self, history: Sequence[Epoch]) -> None:
        table = StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(
            ["epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy"]
        )
        for epoch in history:
            validation = epoch.validation
            writer.writerow(
                [epoch.number, epoch.train.loss, epoch.train.accuracy]
                + ([validation.loss, validation.accuracy] if validation else ["", ""])
            )
        self.write("history.csv", table.getvalue().encode())
