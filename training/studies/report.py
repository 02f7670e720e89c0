"""A study's run folders → the figures of its runs, and the pictures of its report."""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from models import features
from models.checkpoint import read_state_dict
from models.errors import damaged
from training import plots
from training.data import datasets
from training.fitting import predicting, state
from training.fitting.records.run_folder import WEIGHTS, Run, RunError
from training.recipes.recipe import Recipe
from training.studies.study import Measured, Results, Spread, Study, Variant


def measured(run: Run, variant: Variant, root: Path) -> Measured:
    """Return the figures of a finished run of the variant.

    Raises `RunError` if the run is not finished, and `DatasetError` if a data set that it is also
    tested on can't be loaded.
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
        commit=result.commit,
        finished=result.finished,
    )


def weights(run: Run) -> dict[str, Tensor]:
    """The run's state_dict; raises `CheckpointError` with the file's name."""
    return read_state_dict(run.folder / WEIGHTS, torch.device("cpu"))


def hidden_values(study: Study, runs: Mapping[str, Run], root: Path) -> dict[str, Tensor]:
    """Return the outputs of the layer `Variant.hidden` for the first test pictures, by variant.

    Each has the shape (N, …), and the variant's label as its key. Variants without such a layer, or
    without a run in `runs`, are left out. Raises `DatasetError` if the test set can't be loaded.
    """
    found = {}
    for variant in study.variants:
        if variant.hidden is not None and variant.label in runs:
            recipe, spec = variant.recipe, variant.recipe.input
            test = datasets.load(recipe.dataset, "test", root, spec, recipe.seed)
            network = _network(runs[variant.label], recipe, len(test.labels))
            with features.capture(network, [variant.hidden]) as activations:
                predicting.predict(network, test.subset(torch.arange(len(test))[:_PICTURES]), spec)
            found[variant.label] = activations[variant.hidden]
    return found


def _accuracy_on(dataset: str, run: Run, recipe: Recipe, root: Path) -> float:
    images = datasets.load(dataset, "test", root, recipe.input, recipe.seed)
    network = _network(run, recipe, len(images.labels))
    return predicting.evaluate(network, images, recipe.input).accuracy


def _network(run: Run, recipe: Recipe, num_classes: int) -> nn.Module:
    """The run's network with its last weights; raises `DamagedFileError` where they don't fit."""
    network = state.build_network(recipe, num_classes, torch.device("cpu"))
    try:
        network.load_state_dict(weights(run))
    except RuntimeError as error:
        raise damaged(run.folder / WEIGHTS, f"doesn't fit {recipe.architecture}") from error
    return network


def pictures(
    study: Study, runs: Mapping[str, Run], results: Results, root: Path
) -> dict[str, bytes]:
    """Draw the report's PNG files, by name: the curves of all variants, a page of weight histograms
    for each variant, and one of hidden values if the study asks for them. `runs` are those of one
    seed."""
    histories = {label: results[label].history for label in runs}
    files = {"curves.png": plots.overlay(histories, study.name)}
    for number, (label, run) in enumerate(runs.items(), start=1):
        tensors = {n: v for n, v in weights(run).items() if "running" not in n and v.dim()}
        files[f"weights-{number}.png"] = plots.histograms(tensors, f"{study.name}: {label}")
    if values := hidden_values(study, runs, root):
        title = f"{study.name}: hidden values of test pictures, before ReLU"
        files["hidden.png"] = plots.histograms(values, title)
    return files


_PICTURES = predicting.EVALUATION_BATCH  # one forward pass, whose values are captured


def _spread(value: Tensor) -> Spread:
    values = value.float().flatten()
    if not values.isfinite().all():
        return Spread(math.nan, math.nan)
    position = max(math.ceil(0.95 * len(values)), 1)
    return Spread(values.std(correction=0).item(), values.abs().kthvalue(position).values.item())


def _number(value: float | None) -> float:
    return math.nan if value is None else value
