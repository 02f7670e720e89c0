"""One training from its recipe to its figures: data sets → loop → run folder.

`fit` publishes what comes out; `study` compares it.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.checkpoint.labels import label_problem
from models.errors import damaged
from models.preprocessing import InputSpec
from training import plots
from training.data import datasets, names, strangers
from training.data.datasets import DatasetError, ImageSet
from training.data.files import sources
from training.data.storage import Storage
from training.fitting import denormals, evaluation, loop, predicting, tuning
from training.fitting.evaluation import Evaluation
from training.fitting.loop import Hooks
from training.fitting.processes import ALONE, Processes, disband
from training.fitting.records import steps
from training.fitting.records.run_folder import STATE, TO_START_ANEW, WEIGHTS, Run
from training.fitting.records.steps import Step, StepPlan, StepRecord
from training.fitting.state import Epoch, Fitted, StateError, TrainingError, history_of
from training.profiling import memory
from training.recipes.recipe import Recipe


@dataclass(frozen=True)
class Pictures:
    """The pictures that a recipe trains on and is tested on, scaled to the network's input `spec`.

    `validation` is None where the data set has no split of that name. The training then takes its
    validation pictures out of `train`. `strangers` are pictures of none of the classes, if any.
    `place` is where the pixels are kept, by default in memory.
    """

    train: ImageSet
    test: ImageSet
    spec: InputSpec
    validation: ImageSet | None = None
    strangers: ImageSet | None = None
    place: Storage | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        return self.train.labels

    @property
    def splits(self) -> dict[str, ImageSet]:
        own = {} if self.validation is None else {"validation": self.validation}
        return {"train": self.train, **own, "test": self.test}


@dataclass(frozen=True)
class Outcome:
    """The result of a training with its test.

    `test_logits` (N, num_classes) are the logits that `test` was computed from. `metrics` are
    figures by name, NaN if the training diverged. `seconds` is the time of the training alone.
    `peak_memory` is in bytes, above what the process held before, or None if the system can't
    measure it.
    """

    fitted: Fitted
    test: Evaluation
    test_logits: Tensor
    metrics: dict[str, float]
    seconds: float
    peak_memory: int | None

    def as_json(self) -> dict[str, Any]:
        """The content of a run folder's result.json; null for values that are not finite."""
        network, last = self.fitted.network, self.fitted.history[-1]
        return {
            "metrics": {n: v if math.isfinite(v) else None for n, v in self.metrics.items()},
            "epochs": last.number,
            "selected_epoch": self.fitted.selected.number,
            "classes": [asdict(figures) for figures in self.test.classes],
            "note": self.fitted.note,
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            "seconds": round(self.seconds, 1),
            "peak_memory": self.peak_memory,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
        }


def load(recipe: Recipe, root: Path, place: Storage | None = None) -> Pictures:
    """Load the pictures of a recipe: its splits, and its strangers if it has any.

    `place` decides whether pixels are kept in memory or in a file; by default in memory.
    Raises `DatasetError`, also for labels that no classifier can have. Raises `ArchitectureError`
    for an unknown architecture.
    """
    spec = recipe.input
    splits = datasets.load_all(recipe.dataset, root, spec, recipe.seed, place)
    if (problem := label_problem(splits["train"].labels)) is not None:
        raise DatasetError(f"{recipe.dataset}: {problem}")
    others = None
    if recipe.strangers is not None:
        own = splits["train"].labels
        others = strangers.load(recipe.strangers, root, spec, recipe.seed, own, place)
    validation = splits.get("validation")
    return Pictures(splits["train"], splits["test"], spec, validation, others, place)


def run(
    recipe: Recipe,
    pictures: Pictures,
    root: Path,
    device: torch.device,
    folder: Run,
    on_batch: Callable[[int], None] = lambda count: None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    on_note: Callable[[str], None] = lambda text: None,
    plan: StepPlan | None = None,
    processes: Processes = ALONE,
) -> Outcome:
    """Train a recipe, test the network, and write all but `result.json` into the run folder.

    Of several processes, the first calls this, and the others `follow`.

    Training continues from the folder's state if there is one. With a `plan`, the figures of steps
    are recorded, too. The caller writes `result.json` when all is done. Raises `TrainingError` if
    the state is of other pictures. Raises `DamagedFileError` if the state, or the recorded figures
    of steps, are damaged.
    """
    shape = {"labels": list(pictures.labels), "pictures": len(pictures.train)}
    state = folder.state() or {"training": None, "seconds": 0.0, **shape}
    no_state = damaged(folder.folder / STATE, f"is not the state of a training: {TO_START_ANEW}")
    if not {"training", "seconds", *shape} <= state.keys():
        raise no_state
    if not isinstance(state["labels"], list) or not isinstance(state["pictures"], int):
        raise no_state
    if {name: state[name] for name in shape} != shape:
        raise TrainingError(
            f"{folder.folder} was trained on other pictures than are there now, "
            f"{state['pictures']} of {', '.join(map(str, state['labels']))}: start anew, without "
            "--resume"
        )
    try:
        history = history_of(state["training"])
        seconds = float(state["seconds"])
        if not 0 <= seconds < math.inf:
            raise no_state
        started = time.monotonic() - seconds
        rows = steps.before_break(folder.steps(), history)
        record = None if plan is None else _record(plan, pictures, device, rows, on_note)
        if record is not None and "steps" in state:
            record.load_state_dict(state["steps"])
    except (LookupError, StateError, TypeError, ValueError) as error:
        raise no_state from error
    if history:
        folder.write_history(history)
    if rows:
        folder.write_steps(rows)
    for epoch in history:
        on_epoch(epoch)

    def keep_state(training: dict[str, Any]) -> None:
        seconds = time.monotonic() - started
        content = {"training": training, "seconds": seconds, **shape}
        if record is not None:
            folder.write_steps(record.rows)
            content["steps"] = record.state_dict()
        folder.write_tensors(STATE, content)

    def note(epoch: Epoch) -> None:
        history.append(epoch)
        folder.write_history(history)
        on_epoch(epoch)

    with denormals.flushed(), memory.peak(device) as peak:
        hooks = Hooks(on_batch, note, keep_state, on_note, record)
        try:
            processes.from_first((recipe, state["training"]))
            fitted = _fit(recipe, pictures, device, hooks, state["training"], processes)
            if fitted.strangers is None and pictures.strangers is not None:
                fitted = replace(fitted, strangers=pictures.strangers.to(device))
        except StateError as error:
            raise no_state from error
    seconds = time.monotonic() - started
    logits, test, metrics = _measure(recipe, fitted, pictures, root, device)
    title = f"{recipe.name}, seed {recipe.seed}"
    folder.write_tensors(WEIGHTS, {n: v.cpu() for n, v in fitted.network.state_dict().items()})
    rows = rows if record is None else record.rows
    folder.write("curves.png", plots.curves(fitted.history, title, fitted.selected, rows))
    folder.write("confusion.png", plots.confusion(test, f"{title}: test set"))
    folder.write("mistakes.png", _mistakes(logits, pictures))
    folder.write("first.png", _first(logits, pictures))
    return Outcome(fitted, test, logits, metrics, seconds, peak.bytes)


def follow(pictures: Pictures, device: torch.device, processes: Processes) -> None:
    """Train beside the first of several processes, which calls `run`; return with its training."""
    recipe, state = processes.from_first()
    hooks = Hooks(on_state=lambda state: None)  # every process has a part of the state
    with denormals.flushed():
        _fit(recipe, pictures, device, hooks, state, processes)


def _fit(
    recipe: Recipe,
    pictures: Pictures,
    device: torch.device,
    hooks: Hooks,
    state: dict[str, Any] | None,
    processes: Processes,
) -> Fitted:
    processes.check_same(pictures.train)
    fit = tuning.fit if recipe.tune != "all" else partial(loop.fit, strangers=pictures.strangers)
    fitted = fit(
        *(recipe, pictures.train, pictures.spec, device, hooks, state, pictures.validation),
        processes=processes,
    )
    if processes.count > 1:
        disband()
    return fitted


def _record(
    plan: StepPlan,
    pictures: Pictures,
    device: torch.device,
    rows: Sequence[Step],
    on_note: Callable[[str], None],
) -> StepRecord:
    count = min(plan.test_pictures, len(pictures.test))
    test = pictures.test.subset(torch.arange(count)).to(device)
    return StepRecord(plan, test, pictures.spec, rows, on_note)


def _measure(
    recipe: Recipe, fitted: Fitted, pictures: Pictures, root: Path, device: torch.device
) -> tuple[Tensor, Evaluation, dict[str, float]]:
    """Return the selected weights' test logits, their evaluation, and the figures on all sets.

    The figures of the training set leave out the pictures that were held out of it.
    """
    network, spec = fitted.network, pictures.spec
    on_device = pictures.test.to(device)
    logits = predicting.predict(network, on_device, spec).cpu()  # (N, num_classes)
    test = evaluation.score(logits, pictures.test.targets, pictures.labels)
    metrics = test.figures()
    if recipe.flip and not fitted.is_crossed:  # a head alone is not trained on mirrored pictures
        mirrored = predicting.predict(network, on_device.mirrored(), spec).cpu()
        both = evaluation.score(logits + mirrored, pictures.test.targets, pictures.labels)
        metrics["test_accuracy_with_flip"] = both.accuracy
    parts = sources.parts(recipe.dataset, root)
    for part in parts if len(parts) > 1 else []:
        images = datasets.load(part, "test", root, spec, recipe.seed, pictures.place)
        images = images.relabel(pictures.labels)
        found = predicting.evaluate(network, images.to(device), spec)
        metrics[f"test_accuracy_{Path(part).name}"] = found.accuracy
    if fitted.is_crossed:  # the head's own figures, of the features that it was fit to
        trained = fitted.selected.train
    else:
        trained = predicting.evaluate(network, fitted.trained_on, spec)
    metrics |= {"train_accuracy": trained.accuracy, "train_loss": trained.loss}
    if validation := fitted.selected.validation:
        metrics |= {
            "validation_accuracy": validation.accuracy,
            "validation_loss": validation.loss,
        }
    return logits, test, metrics


def _mistakes(logits: Tensor, pictures: Pictures) -> bytes:
    """Draw the wrong predictions on the test set with the highest confidence; returns a PNG."""
    labels, targets = pictures.labels, pictures.test.targets
    scores, predicted = logits.softmax(1).max(1)
    wrong = (predicted != targets).nonzero().flatten()
    surest = wrong[scores[wrong].argsort(descending=True)][:SHOWN_MISTAKES]
    return plots.mistakes(
        pictures.test.images[surest],
        [labels[i] for i in targets[surest].tolist()],
        [labels[i] for i in predicted[surest].tolist()],
        scores[surest].tolist(),
        f"{len(wrong):,} of {len(targets):,} test pictures are taken for another class",
        [names.last(pictures.test.name(i)) for i in surest.tolist()],
    )


def first(logits: Tensor, pictures: Pictures) -> list[tuple[str, str]]:
    """Return the first test pictures' labels as pairs (actual, predicted)."""
    labels = pictures.labels
    predicted = logits[:FIRST].argmax(1).tolist()
    actual = pictures.test.targets[:FIRST].tolist()
    return [(labels[one], labels[other]) for one, other in zip(actual, predicted, strict=True)]


def _first(logits: Tensor, pictures: Pictures) -> bytes:
    pairs = first(logits, pictures)
    right = sum(actual == predicted for actual, predicted in pairs)
    return plots.first(
        pictures.test.images[: len(pairs)],
        [actual for actual, _ in pairs],
        [predicted for _, predicted in pairs],
        f"The first {len(pairs)} test pictures, {right} right: what each shows, and its prediction",
    )


FIRST = 10  # test pictures whose predictions are told
SHOWN_MISTAKES = 25
