"""The run folder of a training: its recipe, its history, its results.

recipe.json   written first
history.csv   a row for each epoch; rewritten after each
steps.csv     a row every N steps, if the user asks for them; rewritten after each epoch
state.pt      what an interrupted training needs to continue; deleted when the training has ended
weights.pt    the selected weights
curves.png    loss and accuracy of both sets, the figures of the steps, the learning rate
confusion.png the confusion matrix of the test set
first.png     the first test pictures with their labels and predictions
mistakes.png  the wrong predictions with the highest confidence, with the names of their files
data.html     what is odd about the pictures, and labels that are probably wrong; data.csv has all
result.json   written last: the selected epoch, the figures, what was published
.lock         held by the process that trains in the folder
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from filelock import FileLock, Timeout
from pydantic import AfterValidator, BaseModel, ValidationError

from models import faults, files
from models.errors import FanlightError, damaged
from training.fitting.evaluation import Metrics
from training.fitting.records import steps
from training.fitting.records.steps import Step
from training.fitting.records.table import Table, figures
from training.fitting.state import Epoch
from training.recipes.recipe import Recipe

RECIPE, RESULT, STATE, WEIGHTS = "recipe.json", "result.json", "state.pt", "weights.pt"
HISTORY, STEPS, LOCK = "history.csv", "steps.csv", ".lock"


def _has_accuracies(metrics: dict[str, float | None]) -> dict[str, float | None]:
    if missing := {"train_accuracy", "test_accuracy"} - metrics.keys():
        raise ValueError(f"lack {', '.join(sorted(missing))}")
    return metrics


Figures = Annotated[dict[str, float | None], AfterValidator(_has_accuracies)]
"""Figures by name, among them both accuracies; None where a figure is not finite."""


class TrainedOn(BaseModel):
    """The device, torch version, commit and time of a training, as the card has them."""

    device: str
    torch: str
    commit: str
    finished: str


class Published(BaseModel):
    """The part of a published model's card that is read from `result.json`."""

    training: TrainedOn


class Finished(BaseModel):
    """The fields of `result.json` that are read.

    `card` belongs to a published model, and has the commit and the time. A run that was not
    published, such as one of a study, has no card, but its own `commit` and `finished`.
    """

    metrics: Figures
    selected_epoch: int
    parameters: int
    seconds: float
    peak_memory: int | None
    threads: int
    card: Published | None = None
    commit: str | None = None
    finished: str | None = None


TO_START_ANEW = "remove it, and the training starts anew"

# what recipes meant that were written before these fields were there
_EARLIER = {"tune": "all", "strangers": None, "ground": 0.0, "compression": 0.0}


class RunError(FanlightError):
    """A run folder lacks what is asked of it."""


class RunHeldError(RunError):
    """Another process trains in that folder."""


@dataclass(frozen=True)
class Run:
    """The folder of one training; each file in it is written completely or not at all."""

    folder: Path

    @classmethod
    def start(cls, root: Path, recipe: Recipe) -> Self:
        """Create a new folder `<root>/<name>/<UTC time>-seed<seed>`, and write the recipe into
        it."""
        stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-seed{recipe.seed}"
        for attempt in ["", *(f"-{n}" for n in range(2, 1000))]:
            folder = root / recipe.name / f"{stamp}{attempt}"
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                continue
            try:
                return cls.at(folder, recipe)
            except OSError:
                with suppress(OSError):
                    folder.rmdir()
                    folder.parent.rmdir()
                raise
        raise RunHeldError(f"{root / recipe.name / stamp} is taken: try again in a second")

    @classmethod
    def at(cls, folder: Path, recipe: Recipe) -> Self:
        """Return the run in this folder; create the folder if it is missing.

        If the folder holds another recipe, its state and its result are deleted.
        """
        run = cls(folder)
        if run.recipe() != as_json(recipe):
            for name in (STATE, RESULT):
                (folder / name).unlink(missing_ok=True)
            files.make_folder(folder)
            run.write_json(RECIPE, as_json(recipe))
        return run

    @classmethod
    def unfinished(cls, root: Path, recipe: Recipe) -> Self | None:
        """Return the latest interrupted run of exactly this recipe, or None.

        A run that another process is training is skipped.
        """
        folders = sorted((root / recipe.name).glob("*"), reverse=True)
        wanted = as_json(recipe)
        for run in (cls(folder) for folder in folders if folder.is_dir()):
            if run.recipe() == wanted and run.result() is None and not run.is_held():
                return run
        return None

    @classmethod
    def may_go_on(cls, root: Path, recipe: Recipe) -> bool:
        """Return whether an interrupted run has this recipe, apart from fields that are still open.

        These are `epochs` and `learning_rate`, which may depend on the number of pictures: this is
        called before the pictures are read.
        """
        wanted = as_json(recipe)
        length = {name for name in ("epochs", "learning_rate") if wanted[name] is None}
        for run in (cls(folder) for folder in (root / recipe.name).glob("*") if folder.is_dir()):
            there = run.recipe()
            if there is None or run.result() is not None or run.is_held():
                continue
            if all(there.get(name) == wanted[name] for name in wanted.keys() - length):
                return True
        return False

    @contextmanager
    def resumable(self) -> Iterator[None]:
        """Add a note to an `OSError` raised inside: `--resume` continues after the last epoch.

        If there is neither a state to continue from nor a result, the folder is deleted.
        """
        try:
            yield
        except OSError as error:
            if (self.folder / STATE).exists():
                error.add_note(
                    "the same command with --resume then goes on after the last finished epoch"
                )
            elif not (self.folder / RESULT).exists():
                shutil.rmtree(self.folder, ignore_errors=True)
                with suppress(OSError):  # it has other runs
                    self.folder.parent.rmdir()
            raise

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock of this folder, so that no other process trains in it.

        The system releases the lock of a process that dies. Raises `RunHeldError` if another
        process holds the lock.
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
        """Read the recipe from `recipe.json`; None without such a file; raises
        `DamagedFileError`."""
        recipe = self._read_json(RECIPE)
        if recipe is not None and (missing := {"name", "dataset", "architecture"} - recipe.keys()):
            raise damaged(
                self.folder / RECIPE, f"is no recipe: it lacks {', '.join(sorted(missing))}"
            )
        if recipe is not None and recipe.get("pretrained") == "":  # as earlier versions wrote None
            recipe["pretrained"] = None
        return None if recipe is None else _EARLIER | recipe

    def result(self) -> dict[str, Any] | None:
        """Read `result.json`; return None if the training has not ended."""
        return self._read_json(RESULT)

    def finished(self) -> Finished | None:
        """Read the figures of the result; return None if the training has not ended.

        Raises `DamagedFileError`.
        """
        content = self.result()
        if content is None:
            return None
        try:
            return Finished.model_validate(content)
        except ValidationError as error:
            raise damaged(self.folder / RESULT, f"is damaged: {faults.in_file(error)}") from error

    def state(self) -> dict[str, Any] | None:
        """Read the state from which `experiment.run` continues; None before the first epoch's end.

        Raises `DamagedFileError`.
        """
        path = self.folder / STATE
        if not path.exists():
            return None
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except OSError:
            raise
        except Exception as error:  # torch raises whatever its unpickler or zip reader meets
            raise damaged(path, f"can't be read: {TO_START_ANEW}") from error
        if not isinstance(state, dict):
            raise damaged(path, f"is not the state of a training: {TO_START_ANEW}")
        return state

    def write_tensors(self, name: str, content: Any) -> None:
        with files.writing(self.folder / name) as file:
            torch.save(content, file)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write the result, and delete the state, which is no longer needed."""
        self.write_json(RESULT, result)
        (self.folder / STATE).unlink(missing_ok=True)

    def _read_json(self, name: str) -> dict[str, Any] | None:
        try:
            return files.read_object(self.folder / name)
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        files.write(self.folder / name, content)

    def write_json(self, name: str, content: Any) -> None:
        files.write_json(self.folder / name, content)

    def write_history(self, history: Sequence[Epoch]) -> None:
        rows = (
            (
                *(epoch.number, epoch.train.loss, epoch.train.accuracy),
                *((each.loss, each.accuracy) if (each := epoch.validation) else (None, None)),
                epoch.learning_rate,
            )
            for epoch in history
        )
        self.write(HISTORY, _EPOCHS.as_csv(rows))

    def history(self) -> list[Epoch]:
        """Read the epochs of `history.csv`.

        Raises `OSError` if there is no such file, and `DamagedFileError` with the line if a row is
        wrong.
        """
        path = self.folder / HISTORY
        epochs = _EPOCHS.read(path)
        if not epochs:
            raise damaged(path, "has no epoch: train again, or remove the run folder", line=1)
        return epochs

    def write_steps(self, rows: Sequence[Step]) -> None:
        self.write(STEPS, steps.as_csv(rows))

    def steps(self) -> list[Step]:
        """Read the rows of `steps.csv`; return an empty list without that file.

        Raises `DamagedFileError` with the line if a row is wrong.
        """
        try:
            return steps.TABLE.read(self.folder / STEPS)
        except FileNotFoundError:
            return []


def as_json(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as JSON values: lists in place of tuples."""
    content: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    return content


def _epoch(row: Mapping[str, str], before: Sequence[Epoch]) -> Epoch:
    found = figures(row)
    validation = None
    if "validation_loss" in found:
        validation = Metrics(found["validation_loss"], found["validation_accuracy"])
    train = Metrics(found["train_loss"], found["train_accuracy"])
    epoch = Epoch(int(row["epoch"]), train, validation, found.get("learning_rate"))
    if epoch.number != len(before) + 1:
        raise ValueError(f"epoch {row['epoch']} in the place of {len(before) + 1}")
    return epoch


_COLUMNS = (
    *("epoch", "train_loss", "train_accuracy"),
    *("validation_loss", "validation_accuracy", "learning_rate"),
)
_EPOCHS = Table[Epoch](_COLUMNS, _COLUMNS[:-1], "epoch", "a history of epochs", _epoch)
