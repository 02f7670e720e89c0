"""A study's run folders → what it found: `report.md`, `study.json` and pictures."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor, nn

from models import features
from models.checkpoint import read_state_dict
from models.errors import damaged
from training import plots
from training.data import datasets
from training.fitting import loop
from training.fitting.run_folder import WEIGHTS, Run, RunError
from training.recipes.recipe import Recipe
from training.studies.study import Measured, Results, Spread, Study, Variant, verdict


def measured(run: Run, variant: Variant, root: Path) -> Measured:
    """What a finished run of the variant gave.

    Raises `RunError` if it is not finished, and `DatasetError` where a data set that it is also
    tested on is not to be had.
    """
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
        weights={n: _spread(v) for n, v in weights(run).items() if v.is_floating_point()},
        also_tested={
            name: _accuracy_on(name, run, variant.recipe, root) for name in variant.also_test
        },
    )


def weights(run: Run) -> dict[str, Tensor]:
    """The run's state_dict; raises `CheckpointError` with the file's name."""
    return read_state_dict(run.folder / WEIGHTS, torch.device("cpu"))


def summary(study: Study, by_seed: Mapping[int, Results], *, quick: bool) -> dict[str, Any]:
    """The study as rows and verdicts, for `study.json`; a verdict of a quick look is null.

    `by_seed` are the figures of the runs of each seed, by the variants' labels.
    """
    return {
        "name": study.name,
        "question": study.question,
        "quick": quick,
        "memory": study.memory,
        "rows": [_row(variant, by_seed) for variant in study.variants],
        "findings": [
            {
                "claim": finding.claim,
                "criterion": finding.criterion.text,
                "earlier": finding.earlier,
                "held": None if quick else (held := finding.held(by_seed.values())),
                "verdict": None if quick else verdict(held),
                "remark": finding.remark,
            }
            for finding in study.findings
        ],
    }


def markdown(content: Mapping[str, Any]) -> str:
    """A summary as a section: the question, a table, the findings."""
    also = list(dict.fromkeys(name for row in content["rows"] for name in row["also_tested"]))
    columns = [
        *_COLUMNS,
        *(f"on {name}" for name in also),
        *_LAST_COLUMNS,
        *(["peak memory"] if content["memory"] else []),
    ]
    lines = [content["question"], "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in content["rows"]:
        cells = [
            *(row["label"], row["reported"]),
            *(_mean(row[name]) for name in ("train", "validation")),
            _mean([_gap(*each) for each in zip(row["train"], row["validation"], strict=True)]),
            _mean(row["test"]),
            *(_mean(row["also_tested"].get(name, [])) for name in also),
            *(f"{row['batch_size']:,}", str(row["epochs"]), ", ".join(map(str, row["seeds"]))),
            *(f"{row['parameters']:,}", f"{mean(row['seconds']):.0f} s"),
            *([_memory(row["peak_memory"])] if content["memory"] else []),
        ]
        lines.append(_escaped(f"| {' | '.join(cells)} |"))
    lines.append("")
    for finding in content["findings"]:
        lines.append(_escaped(f"- {_verdict(finding)}: {finding['claim']}."))
        lines.append(_escaped(f"  Criterion: {finding['criterion']}."))
        if finding["earlier"]:
            lines.append(_escaped(f"  Criterion before: {finding['earlier']}."))
        if finding["remark"] and finding["verdict"] in ("not seen", "unclear"):
            lines.append(_escaped(f"  Remark: {finding['remark']}."))
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
            network = _network(runs[variant.label], recipe, len(test.labels))
            with features.capture(network, [variant.hidden]) as activations:
                loop.predict(network, test.subset(torch.arange(len(test))[:_PICTURES]), spec)
            found[variant.label] = activations[variant.hidden]
    return found


def _accuracy_on(dataset: str, run: Run, recipe: Recipe, root: Path) -> float:
    images = datasets.load(dataset, "test", root, recipe.input, recipe.seed)
    network = _network(run, recipe, len(images.labels))
    return loop.evaluate(network, images, recipe.input).accuracy


def _network(run: Run, recipe: Recipe, num_classes: int) -> nn.Module:
    """The run's network with its last weights; raises `DamagedFileError` where they don't fit."""
    network = loop.build_network(recipe, num_classes, torch.device("cpu"))
    try:
        network.load_state_dict(weights(run))
    except RuntimeError as error:
        raise damaged(run.folder / WEIGHTS, f"doesn't fit {recipe.architecture}") from error
    return network


def pictures(
    study: Study, runs: Mapping[str, Run], results: Results, root: Path
) -> dict[str, bytes]:
    """PNG files by name: the curves of all variants, a histogram page for each of its weights, and
    one of hidden values where the study asks for them. `runs` are those of one seed."""
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


_COLUMNS = ("run", "reported", "train", "validation", "gap", "test")
_LAST_COLUMNS = ("batch", "epochs", "seeds", "parameters", "time")


def _row(variant: Variant, by_seed: Mapping[int, Results]) -> dict[str, Any]:
    runs = [by_seed[seed][variant.label] for seed in variant.seeds]
    peaks = [run.peak_memory for run in runs if run.peak_memory is not None]
    return {
        "label": variant.label,
        "reported": variant.reported,
        "batch_size": variant.recipe.batch_size,
        "epochs": max(len(run.history) for run in runs),
        "seeds": list(variant.seeds),
        "train": [_rounded(run.train) for run in runs],
        "validation": [_rounded(run.validation) for run in runs],
        "test": [_rounded(run.test) for run in runs],
        "also_tested": {
            name: [_rounded(run.also_tested[name]) for run in runs] for name in variant.also_test
        },
        "parameters": runs[0].parameters,
        "seconds": [run.seconds for run in runs],
        "peak_memory": max(peaks, default=None),
    }


def _verdict(finding: Mapping[str, Any]) -> str:
    if finding["verdict"] is None:
        return "Not judged (quick)"
    held = finding["held"]
    return f"**{finding['verdict'].capitalize()}** ({sum(held)} of {len(held)} seeds)"


def _mean(values: Sequence[float | None]) -> str:
    """One value, or mean ± standard deviation over the seeds (with n - 1)."""
    found = [value for value in values if value is not None]
    if len(found) < len(values):
        return "diverged"
    if not found:
        return ""
    return f"{mean(found):.4f}" + (f" ± {stdev(found):.4f}" if len(found) > 1 else "")


def _gap(train: float | None, validation: float | None) -> float | None:
    return None if train is None or validation is None else train - validation


def _escaped(text: str) -> str:
    return text.replace("|p|", "\\|p\\|")


def _memory(count: int | None) -> str:
    return "" if count is None else f"{count / 2**20:,.0f} MiB"


def _spread(value: Tensor) -> Spread:
    values = value.float().flatten()
    if not values.isfinite().all():
        return Spread(math.nan, math.nan)
    position = max(math.ceil(0.95 * len(values)), 1)
    return Spread(values.std(correction=0).item(), values.abs().kthvalue(position).values.item())


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.nan if value is None else value
