"""A study's run folders → what it found: `report.md`, `study.json` and pictures."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models import features
from models.checkpoint import read_state_dict
from models.errors import damaged
from training import plots
from training.data import datasets
from training.fitting import loop
from training.fitting.run_folder import WEIGHTS, Run, RunError
from training.studies.study import Measured, Results, Study


def measured(run: Run) -> Measured:
    """What a finished run gave; raises `RunError` if it is not finished."""
    result, history = run.finished(), tuple(run.history())
    if result is None or not history:
        raise RunError(f"{run.folder} holds no finished run")
    last, metrics = history[-1], result.metrics
    return Measured(
        train=_number(metrics["train_accuracy"]),
        validation=last.validation.accuracy if last.validation else math.nan,
        test=_number(metrics["test_accuracy"]),
        parameters=result.parameters,
        seconds=result.seconds,
        peak_memory=result.peak_memory,
        history=history,
        weight_deviations={
            name: _deviation(value)
            for name, value in weights(run).items()
            if value.is_floating_point()
        },
    )


def weights(run: Run) -> dict[str, Tensor]:
    """The run's state_dict; raises `CheckpointError` with the file's name."""
    return read_state_dict(run.folder / WEIGHTS, torch.device("cpu"))


def summary(study: Study, results: Results, *, quick: bool) -> dict[str, Any]:
    """The study as rows and verdicts, for `study.json`; a verdict of a quick look is null."""
    return {
        "name": study.name,
        "question": study.question,
        "quick": quick,
        "memory": study.memory,
        "rows": [
            {
                "label": variant.label,
                "reported": variant.reported,
                "epochs": len(results[variant.label].history),
                "seed": variant.recipe.seed,
                **_figures(results[variant.label]),
            }
            for variant in study.variants
        ],
        "findings": [
            {
                "text": finding.text,
                "appears": None if quick else bool(finding.holds(results)),
                "otherwise": finding.otherwise,
            }
            for finding in study.findings
        ],
    }


def markdown(content: Mapping[str, Any]) -> str:
    """A summary as a section: the question, a table, the findings."""
    columns = [*_COLUMNS, *(["peak memory"] if content["memory"] else [])]
    lines = [content["question"], "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in content["rows"]:
        gap = (
            None if None in (row["train"], row["validation"]) else row["train"] - row["validation"]
        )
        figures = [_text(row[name]) for name in ("train", "validation")]
        cells = [row["label"], row["reported"], *figures, _text(gap), _text(row["test"])]
        cells += [str(row["epochs"]), f"{row['parameters']:,}", f"{row['seconds']:.0f} s"]
        cells += [_memory(row["peak_memory"])] if content["memory"] else []
        lines.append(f"| {' | '.join(cells)} |".replace("|p|", "\\|p\\|"))
    lines.append("")
    for finding in content["findings"]:
        lines.append(f"- {_verdict(finding)}: {finding['text']}".replace("|p|", "\\|p\\|"))
        if finding["appears"] is False and finding["otherwise"]:
            lines[-1] += f" ({finding['otherwise']})"
    return "\n".join(lines) + "\n"


def hidden_values(study: Study, runs: Mapping[str, Run], root: Path) -> dict[str, Tensor]:
    """Label → values (N, …) of the layer that the variant names, for the first test pictures.

    Raises `DatasetError` where the test set is not to be had.
    """
    found = {}
    for variant in study.variants:
        if variant.hidden is not None:
            recipe, spec = variant.recipe, variant.recipe.input
            test = datasets.load(recipe.dataset, "test", root, spec, recipe.seed)
            network = loop.build_network(recipe, len(test.labels), torch.device("cpu"))
            folder = runs[variant.label].folder
            try:
                network.load_state_dict(weights(runs[variant.label]))
            except RuntimeError as error:
                raise damaged(folder / WEIGHTS, f"doesn't fit {recipe.architecture}") from error
            with features.capture(network, [variant.hidden]) as activations:
                loop.predict(network, test.subset(torch.arange(len(test))[:_PICTURES]), spec)
            found[variant.label] = activations[variant.hidden]
    return found


def pictures(
    study: Study, runs: Mapping[str, Run], results: Results, root: Path
) -> dict[str, bytes]:
    """PNG files by name: the curves of all variants, a histogram page for each of its weights, and
    one of hidden values where the study asks for them."""
    histories = {label: results[label].history for label in runs}
    files = {"curves.png": plots.overlay(histories, study.name)}
    for number, (label, run) in enumerate(runs.items(), start=1):
        tensors = {n: v for n, v in weights(run).items() if "running" not in n and v.dim()}
        files[f"weights-{number}.png"] = plots.histograms(tensors, f"{study.name}: {label}")
    if values := hidden_values(study, runs, root):
        title = f"{study.name}: hidden values of test pictures, before ReLU"
        files["hidden.png"] = plots.histograms(values, title)
    return files


_PICTURES = loop.EVALUATION_BATCH  # one forward pass, whose values are captured


_COLUMNS = (
    *("run", "reported", "train", "validation", "gap", "test"),
    *("epochs", "parameters", "time"),
)


def _figures(result: Measured) -> dict[str, float | int | None]:
    accuracies = {"train": result.train, "validation": result.validation, "test": result.test}
    return {
        **{name: round(v, 4) if math.isfinite(v) else None for name, v in accuracies.items()},
        "parameters": result.parameters,
        "seconds": result.seconds,
        "peak_memory": result.peak_memory,
    }


def _verdict(finding: Mapping[str, Any]) -> str:
    return {None: "Not judged (quick)", True: "Seen", False: "Not seen"}[finding["appears"]]


def _text(value: float | None) -> str:
    return "diverged" if value is None else f"{value:.4f}"


def _memory(count: int | None) -> str:
    return "" if count is None else f"{count / 2**20:,.0f} MiB"


def _deviation(value: Tensor) -> float:
    return value.float().std(correction=0).item()


def _number(value: float | None) -> float:
    return math.nan if value is None else value
