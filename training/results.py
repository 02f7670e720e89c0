"""The record of measured results: run folders → `results.json` → `results.md`.

The record keeps a result when its run folder is deleted. It takes up full-length studies, and
finished trainings of the catalogue's recipes. A training may differ from its recipe in seed and
number of epochs only.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from statistics import mean, stdev
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models import faults, files
from models.errors import damaged
from training.fitting import evaluation
from training.fitting.records.run_folder import HISTORY, RECIPE, Figures, Run, as_json
from training.recipes.catalogue import CATALOGUE, Entry
from training.studies.catalogue import STUDIES
from training.studies.summary import Summary

Row = dict[str, Any]


class _Strict(BaseModel):
    """Base of models whose fields accept their own JSON type only: the rows are used as the file
    has them."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _TrainingRow(_Strict):
    """The fields of a recorded training that are checked when the file is read."""

    recipe: str
    epochs: int
    seed: int
    metrics: Figures
    training_losses: list[Annotated[list[int | float], Field(min_length=2, max_length=2)]]
    parameters: int
    seconds: float
    threads: int
    finished: str


class _Content(_Strict):
    """The parts of `results.json` that are checked when the file is read."""

    trainings: list[_TrainingRow]
    studies: list[Summary]


_FREE_FIELDS = {"seed", "epochs"}  # may differ from the catalogue's recipe
_MARKS = (1, 10, 20, 50, 100)  # the epochs whose losses first descriptions tell


@dataclass(frozen=True)
class Record:
    """The recorded results: a row for each recipe, seed and number of epochs, and a summary a
    study."""

    trainings: list[Row]
    studies: list[Summary]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read `results.json`; return an empty record if there is no such file.

        Raises `DamagedFileError` if the content is wrong.
        """
        try:
            content = files.read_object(path)
        except FileNotFoundError:
            return cls([], [])
        studies = _read(path, content, _Content).studies
        return cls(content["trainings"], studies)

    def with_runs(self, runs: Path) -> "Record":
        """Return the record with the results in the run folders under `runs` added.

        Of several run folders with the same recipe, epochs and seed, the one that finished last
        counts. It replaces the recorded training. Runs of a study are merged with the recorded ones
        (`Summary.joined`), and judged anew where that is possible (`Summary.renewed`). Recipes and
        studies that Fanlight no longer has are dropped.
        """
        trainings = {_key(row): row for row in self.trainings}
        for row in sorted(_trainings(runs), key=lambda row: str(row["finished"])):
            trainings[_key(row)] = row
        found = {study.name: study for study in self.studies}
        for study in _studies(runs):
            found[study.name] = found.get(study.name, study).joined(study)
        order = {name: number for number, name in enumerate(CATALOGUE)}
        return Record(
            sorted(
                (row for row in trainings.values() if row["recipe"] in order),
                key=lambda row: (order[row["recipe"]], *_key(row)[1:]),
            ),
            [found[name].renewed(STUDIES[name]) for name in STUDIES if name in found],
        )

    def as_json(self) -> dict[str, Any]:
        studies = [study.model_dump() for study in self.studies]
        return {"trainings": self.trainings, "studies": studies}

    def missing(self) -> list[str]:
        """Return the names of the recipes and studies that have no recorded result."""
        trained = {row["recipe"] for row in self.trainings}
        found = {study.name for study in self.studies}
        return [name for name in CATALOGUE if name not in trained] + [
            f"study {name}" for name in STUDIES if name not in found
        ]

    def markdown(self) -> str:
        """Return `results.md`: every recipe with reported and measured figures, then the recorded
        studies."""
        lines = [_HEAD, f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|"]
        for entry in CATALOGUE.values():
            lines.append(f"| {' | '.join(_cells(entry, self._longest(entry)))} |")
        lines += ["", _STUDIES_HEAD]
        for study in self.studies:
            lines += [f"\n### {study.name}\n", study.markdown().rstrip()]
        return "\n".join(lines) + "\n"

    def _longest(self, entry: Entry) -> list[Row]:
        """Return the recipe's trainings with the highest number of epochs, one for each seed."""
        rows = [row for row in self.trainings if row["recipe"] == entry.recipe.name]
        most = max((row["epochs"] for row in rows), default=0)
        return [row for row in rows if row["epochs"] == most]


def _trainings(runs: Path) -> Iterator[Row]:
    for name, entry in CATALOGUE.items():
        own = as_json(entry.recipe)
        for folder in sorted(f for f in (runs / name).glob("*") if f.is_dir()):
            run = Run(folder)
            recipe, result = run.recipe(), run.finished()
            if recipe is None or result is None or result.card is None:
                continue
            if {field for field in own if recipe.get(field) != own[field]} - _FREE_FIELDS:
                continue
            if not all(isinstance(recipe.get(field), int) for field in _FREE_FIELDS):
                raise damaged(folder / RECIPE, "needs whole numbers as epochs and seed")
            history = run.history()
            for epoch in history:  # a training that diverged has no card
                if not isfinite(epoch.train.loss):
                    raise damaged(
                        folder / HISTORY,
                        f"has a train_loss of {epoch.train.loss}, which no finished training has",
                        line=epoch.number + 1,
                    )
            losses = [(epoch.number, round(epoch.train.loss, 4)) for epoch in history]
            yield {
                "recipe": name,
                "epochs": recipe["epochs"],
                "seed": recipe["seed"],
                "selected_epoch": result.selected_epoch,
                "metrics": {n: v and round(v, 6) for n, v in result.metrics.items()},
                "training_losses": [[n, v] for n, v in losses if n in {*_MARKS, recipe["epochs"]}],
                "parameters": result.parameters,
                "seconds": result.seconds,
                "peak_memory": result.peak_memory,
                "threads": result.threads,
                **result.card.training.model_dump(),
            }


def _studies(runs: Path) -> Iterator[Summary]:
    for name in STUDIES:
        path = runs / "studies" / name / "study.json"
        if path.exists():
            yield _read(path, files.read_object(path), Summary)


_Model = TypeVar("_Model", bound=BaseModel)


def _read(path: Path, content: Row, model: type[_Model]) -> _Model:
    """Validate the content of a file by the model; raises `DamagedFileError` if it does not fit."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        text = f"is damaged: {faults.in_file(error)}; remove it to start anew"
        raise damaged(path, text) from error


def _key(row: Row) -> tuple[str, int, int]:
    return row["recipe"], row["epochs"], row["seed"]


def _cells(entry: Entry, rows: Sequence[Row]) -> list[str]:
    recipe = entry.recipe
    head = [f"`{recipe.name}`<br>{entry.about}", entry.reported]
    if not rows:
        return [*head, "not run yet", *[""] * (len(_COLUMNS) - 4), _command(recipe.name, [])]
    first = rows[0]
    epochs = f"{first['epochs']}"
    if first["epochs"] < recipe.epochs_to_run:
        epochs += f" of {recipe.epochs_to_run}"
    options = [f"--epochs {first['epochs']}"] if first["epochs"] != recipe.epochs else []
    seeds = [str(row["seed"]) for row in rows]
    options += [f"--seed {'N' if len(rows) > 1 else seeds[0]}"] if seeds != ["0"] else []
    losses = ", ".join(f"{loss:.3f} ({number})" for number, loss in first["training_losses"])
    return [
        *head,
        _measured(rows),
        _figure([row["metrics"]["train_accuracy"] for row in rows]),
        losses,
        f"{first['parameters']:,}",
        epochs,
        ", ".join(seeds),
        ", ".join(_duration(row["seconds"]) for row in rows),
        _command(recipe.name, options, first["threads"]),
    ]


def _measured(rows: Sequence[Row]) -> str:
    """Format the test accuracy as a cell of the table, with further figures on the test set.

    The cell has the mean and deviation over the seeds, the interval, and the value of each seed.
    """
    values = [row["metrics"]["test_accuracy"] for row in rows]
    text = f"**{_figure(values)}**"
    count = rows[0]["metrics"].get(_PICTURES)
    if count and None not in values:
        text += f" ({evaluation.interval(mean(values), int(count))})"
    if len(values) > 1:
        text += f"<br>{', '.join(_figure([value]) for value in values)}"
    for name in rows[0]["metrics"]:
        if name.startswith(_ALSO) and not name.startswith(_INTERVAL):
            text_of_metric = _METRIC_TEXTS.get(name, f"on {name.removeprefix(_ALSO)}")
            text += f"<br>{text_of_metric}: {_figure([row['metrics'][name] for row in rows])}"
    return text


def _figure(values: Sequence[float | None]) -> str:
    """Format one value, or the mean ± standard deviation over the seeds (with n - 1).

    Returns `diverged` if a value is None.
    """
    found = [value for value in values if value is not None]
    if len(found) < len(values):
        return "diverged"
    if len(found) == 1:
        return f"{found[0]:.4f}"
    return f"{mean(found):.4f} ± {stdev(found):.4f}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _command(name: str, options: Sequence[str], threads: int | None = None) -> str:
    set_threads = [f"OMP_NUM_THREADS={threads}"] if threads else []
    return f"`{' '.join([*set_threads, 'fanlight fit', name, *options])}`"


_PICTURES = "test_pictures"  # absent from what earlier versions recorded
_ALSO = "test_accuracy_"
_INTERVAL = "test_accuracy_95_"
_METRIC_TEXTS: Mapping[str, str] = {
    "test_accuracy_with_flip": "with test-time flipping",
    "test_accuracy_with_second_look": "with a second look where unsure",
    "test_accuracy_without_copies": "without pictures that train has too",
}
_COLUMNS = (
    *("recipe", "reported", "test accuracy", "training accuracy", "training loss (epoch)"),
    *("parameters", "epochs", "seeds", "time", "command"),
)
_HEAD = """# Results

Written by `fanlight results` from the run folders of the commands below; the figures
behind it are in `results.json`.

What was reported is what the system's first author saw; there the test pictures mostly served for
validation. What was measured is the accuracy on the test set, looked at once, with the weights of
the epoch that held-out pictures selected (the strong recipes hold nothing out and keep the last
epoch). Several seeds give their mean ± standard deviation. In brackets stands the interval in which
the accuracy on ever more such pictures lies with 95 % confidence (Wilson's, for the mean). The
training accuracy is that of the same weights; the training loss is the mean over an epoch, of the
first seed, and has no penalty in it. Time is that of the training alone, on a virtual machine
without a GPU, with other programs beside it. Where a training has fewer epochs than its recipe, the
row says so: `1 of 10`.

A row of a recipe judges nothing. Because it has the weights of the epoch that validated best, a
network that had unlearned all by its last epoch still looks good here, as that for crosses without
pooling. The studies below judge by criteria, with the weights of the last epoch: `xo-channels`,
`xo-depth` and `xo-pooling` the networks for crosses, `alexnet` AlexNet, `lenet` the LeNets.

## Recipes
"""
_STUDIES_HEAD = """## Studies

Each is one command, `fanlight study NAME`. Accuracies are those of the last epoch's weights, the
mean ± standard deviation over the seeds; the gap is training minus validation. Runs shared by
studies are trained once. A claim of the first author is judged by a criterion that stood in the
code before the runs were made; where a part of it came later, the finding says so. It is judged for
each seed by itself: the claim is seen if the criterion holds with every seed, not seen if it holds
with none, and unclear otherwise. "About" means within 0.02. Where another criterion stood before,
the finding says which. Studies and rows that are missing here are not run yet; of those in batches
of 128, the two on tiny inputs are."""
