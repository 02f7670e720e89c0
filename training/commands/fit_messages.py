"""What `fit` prints of a training: its choices, its progress, its result."""

import torch
from rich.console import Console

from models.architectures import registry
from models.trust import LEAST_IMAGES
from training.data import names
from training.fitting import evaluation, experiment, loop, trust
from training.fitting.experiment import Outcome, Pictures
from training.fitting.processes import FEW_NORMALISED, Processes
from training.fitting.records.steps import Step
from training.recipes.recipe import Recipe

FEW_VALIDATE = 30  # pictures; the 95 % interval of an accuracy on fewer is 0.3 wide and more
_NAMED_PARTS = 8  # processes, up to which the part of each is told
_IMBALANCE = 2.0  # largest class to smallest, from which on it is told


def print_processes(recipe: Recipe, processes: Processes, console: Console) -> None:
    """Print how several processes share a step; print nothing for one."""
    if processes.count == 1:
        return
    sizes = processes.sizes(recipe.batch_size)
    told = (
        " + ".join(map(str, sizes)) if processes.count <= _NAMED_PARTS else f"{sizes[-1]} or more"
    )
    console.print(
        f"{processes.count} processes share each step's {recipe.batch_size} pictures: {told}"
        + ("" if len(set(sizes)) == 1 else " (not evenly; each picture counts the same)")
    )
    if recipe.tune == "head":
        console.print("tune head fits the head in the first process alone: the others only wait")
    if sizes[-1] < FEW_NORMALISED:
        console.print(
            f"batch normalisation, if the network has it, uses the {sizes[-1]} pictures of a "
            "process: a larger --batch-size, or fewer processes, give it better statistics"
        )


def print_choices(recipe: Recipe, pictures: Pictures, asked: Recipe, console: Console) -> None:
    """Print which fields of the recipe were chosen, and whether classes differ much in size."""
    chosen = recipe.differences(asked)
    if chosen:
        if "epochs" in chosen and recipe.tune == "head-first":
            chosen["epochs"] = f"{recipe.epochs} at most"  # the head alone may do
        console.print("chosen: " + ", ".join(f"{name} {value}" for name, value in chosen.items()))
    if recipe.tune == "all" and (warning := _few_validate(recipe, pictures)) is not None:
        console.print(warning)
    held = loop.sizes(recipe, pictures.train, pictures.validation)
    if trust.trains_again(recipe, held):
        console.print(
            f"of {LEAST_IMAGES} pictures that calibration needs, {held.calibration} are held out: "
            f"after this training {trust.FURTHER_TRAININGS} more follow, each of which leaves a "
            "part of the pictures out. Fewer --epochs shorten all of them"
        )
    if recipe.size is None and registry.named(recipe.architecture).stated is None:
        shape = "×".join(map(str, pictures.spec.shape))
        console.print(f"the input was worked out from the network: {shape}")
    counts = torch.bincount(pictures.train.targets, minlength=len(pictures.labels)).tolist()
    if recipe.class_weights == "none" and max(counts) > _IMBALANCE * min(counts):
        text = ", ".join(f"{label} {n:,}" for label, n in zip(pictures.labels, counts, strict=True))
        console.print(
            f"the classes differ in size: {text}. The small ones count as much as the large ones "
            "with --class-weights balanced"
        )


def _few_validate(recipe: Recipe, pictures: Pictures) -> str | None:
    """Return a warning if too few pictures validate the epochs; None if there are enough."""
    if pictures.validation is not None:
        count, advice = len(pictures.validation), "add some to that folder"
    else:
        sizes = torch.bincount(pictures.train.targets).tolist()
        count = sum(round(size * recipe.validation_fraction) for size in sizes)
        advice = "add pictures, or raise --validation-fraction"
    if count >= FEW_VALIDATE or not recipe.validation_fraction:
        return None
    if not count:
        return f"no picture validates it, so the last epoch is kept: {advice}"
    return (
        f"{counted(count)} {'validates' if count == 1 else 'validate'} it and "
        f"{'chooses' if count == 1 else 'choose'} its epoch: the figure means little; {advice}"
    )


def counted(count: int) -> str:
    return f"{count:,} picture{'' if count == 1 else 's'}"


def epoch_name(recipe: Recipe, number: int) -> str:
    """Return the name of an epoch; epoch 1 trains the head alone in recipes that fit it first."""
    if number == 1 and recipe.tune != "all":
        return "epoch 1, the head alone"
    return f"epoch {number}/{recipe.epochs_to_run}"


def step_text(recipe: Recipe, step: Step) -> str:
    """Format the figures of a step for the progress line; figures without a value are left out."""
    text = f"{epoch_name(recipe, step.epoch)}  " if step.epoch else ""
    text += f"step {step.number:,}"
    if step.mean_loss is not None:
        text += f"  loss {step.mean_loss:.4f}"
    if step.test is not None:
        text += f"  accuracy on {step.test_pictures:,} test pictures {step.test.accuracy:.4f}"
    return text


def print_evaluated_part(count: int, pictures: Pictures, console: Console) -> None:
    """Print a note if `--evaluate-on` exceeds the test set, or its pictures miss some classes."""
    if count > len(pictures.test):
        console.print(
            f"--evaluate-on {count:,}: the test set has {counted(len(pictures.test))}, all of "
            "which are evaluated"
        )
    targets = pictures.test.targets
    first = set(targets[:count].tolist())
    if missing := sorted(set(targets.tolist()) - first):
        without = names.some(pictures.labels[target] for target in missing)
        console.print(
            f"--evaluate-on {count:,}: the first test pictures show nothing of {without}, so their "
            f"accuracy says nothing about these; there are {len(targets):,} test pictures",
            markup=False,
            highlight=False,
        )


def first_predictions(outcome: Outcome, pictures: Pictures) -> str:
    """Return a sentence with the predictions for the first test pictures, which marks wrong
    ones."""
    pairs = experiment.first(outcome.test_logits, pictures)
    told = [
        names.shown(taken_for if taken_for == actual else f"{taken_for} (is {actual})")
        for actual, taken_for in pairs
    ]
    count = "test picture is" if len(pairs) == 1 else f"{len(pairs)} test pictures are"
    return f"the first {count} taken for: {', '.join(told)}"


def print_outcome(recipe: Recipe, pictures: Pictures, outcome: Outcome, console: Console) -> None:
    """Print the figures, each accuracy with its interval, and the classes where they differ."""
    fitted, test = outcome.fitted, outcome.test
    if fitted.selected.validation is not None:
        accuracy, count = fitted.selected.validation.accuracy, fitted.validated
        console.print(
            f"{'cross-validation' if fitted.is_crossed else 'validation'}: accuracy {accuracy:.4f} "
            f"({evaluation.interval(accuracy, count)}; {counted(count)})"
            + (": of so few it means little" if count < FEW_VALIDATE else "")
        )
    console.print(
        f"epoch {fitted.selected.number} of {len(fitted.history)} selected: "
        f"test accuracy {test.accuracy:.4f} ({test.interval}), loss {test.loss:.4f} "
        f"({counted(len(pictures.test))}, trained in {outcome.seconds:.0f} s)"
    )
    if (hidden := test.verdict()) is not None:
        console.print(hidden, markup=False, highlight=False)
