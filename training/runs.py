"""The run folder: what a training was asked, how it went, what it gave.

recipe.json   written first
history.csv   a row an epoch, whole after each
state.pt      what a broken-off training needs to go on after its last epoch; gone when it has ended
weights.pt    the selected weights
curves.png    loss and accuracy of both sets
confusion.png of the test set
mistakes.png  the wrong predictions with the highest confidence
result.json   written last: the selected epoch, the figures, what was published
.lock         held by the process that trains in the folder
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import torch
from filelock import FileLock, Timeout

from models.checkpoint import CheckpointError
from training import files
from training.loop import Epoch, Metrics
from training.recipes import Recipe

RECIPE, RESULT, STATE, WEIGHTS = "recipe.json", "result.json", "state.pt", "weights.pt"
LOCK = ".lock"


class RunHeldError(ValueError):
    """Another process trains in that folder."""


@dataclass(frozen=True)
class Run:
    """A folder of one training's files, each of which appears whole."""

    folder: Path

    @classmethod
    def start(cls, root: Path, recipe: Recipe) -> Self:
        """A new folder `<root>/<name>/<UTC time>-seed<seed>` that holds the recipe."""
        stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-seed{recipe.seed}"
        for attempt in ["", *(f"-{n}" for n in range(2, 1000))]:
            folder = root / recipe.name / f"{stamp}{attempt}"
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                continue
            return cls.at(folder, recipe)
        raise FileExistsError(f"{root / recipe.name / stamp} is taken")

    @classmethod
    def at(cls, folder: Path, recipe: Recipe) -> Self:
        """That folder, made if need be; what is in it of another recipe is removed."""
        run = cls(folder)
        if run.recipe() != as_json(recipe):
            for name in (STATE, RESULT):
                (folder / name).unlink(missing_ok=True)
            folder.mkdir(parents=True, exist_ok=True)
            run.write_json(RECIPE, as_json(recipe))
        return run

    @classmethod
    def unfinished(cls, root: Path, recipe: Recipe) -> Self | None:
        """The latest folder of that very recipe whose training was broken off.

        One that another process still trains is passed over.
        """
        folders = sorted((root / recipe.name).glob("*"), reverse=True)
        wanted = as_json(recipe)
        for run in (cls(folder) for folder in folders if folder.is_dir()):
            if run.recipe() == wanted and run.result() is None and not run.is_held():
                return run
        return None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from training in this folder; the system lets go of a dead one's.

        Raises `RunHeldError` while another one does.
        """
        try:
            with FileLock(self.folder / LOCK, blocking=False):
                yield
        except Timeout as error:
            raise RunHeldError(
                f"{self.folder} is being trained by another process: wait for its end"
            ) from error

    def is_held(self) -> bool:
        try:
            with self.held():
                return False
        except RunHeldError:
            return True

    def recipe(self) -> dict[str, Any] | None:
        return self._read_json(RECIPE)

    def result(self) -> dict[str, Any] | None:
        """What the training gave, or None before its end."""
        return self._read_json(RESULT)

    def state(self) -> dict[str, Any] | None:
        """What `loop.fit` goes on from, or None before the first epoch's end."""
        path = self.folder / STATE
        if not path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises whatever its unpickler or zip reader meets
            raise CheckpointError(
                f"{path} can't be read: remove it, and the training starts anew"
            ) from error
        return state

    def write_tensors(self, name: str, content: Any) -> None:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        self.write(name, buffer.getvalue())

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write the result; nothing is left to go on from."""
        self.write_json(RESULT, result)
        (self.folder / STATE).unlink(missing_ok=True)

    def _read_json(self, name: str) -> dict[str, Any] | None:
        try:
            content: dict[str, Any] = json.loads((self.folder / name).read_bytes())
        except FileNotFoundError:
            return None
        return content

    def write(self, name: str, content: bytes) -> None:
        files.write(self.folder / name, content)

    def write_json(self, name: str, content: Any) -> None:
        files.write_json(self.folder / name, content)

    def write_history(self, history: Sequence[Epoch]) -> None:
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for epoch in history:
            validation = epoch.validation
            writer.writerow(
                [epoch.number, epoch.train.loss, epoch.train.accuracy]
                + ([validation.loss, validation.accuracy] if validation else ["", ""])
                + [epoch.learning_rate if epoch.learning_rate is not None else ""]
            )
        self.write("history.csv", table.getvalue().encode())

    def history(self) -> list[Epoch]:
        """The epochs of `history.csv`; raises `OSError` if there is none."""
        with (self.folder / "history.csv").open(newline="") as file:
            return [_epoch(row) for row in csv.DictReader(file)]


def as_json(recipe: Recipe) -> dict[str, Any]:
    """The recipe as it stands in a file: lists for tuples."""
    content: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    return content


def _epoch(row: Mapping[str, str]) -> Epoch:
    figures = {name: float(value) for name, value in row.items() if value}
    validation = None
    if "validation_loss" in figures:
        validation = Metrics(figures["validation_loss"], figures["validation_accuracy"])
    train = Metrics(figures["train_loss"], figures["train_accuracy"])
    return Epoch(int(figures["epoch"]), train, validation, figures.get("learning_rate"))


_COLUMNS = (
    *("epoch", "train_loss", "train_accuracy"),
    *("validation_loss", "validation_accuracy", "learning_rate"),
)
