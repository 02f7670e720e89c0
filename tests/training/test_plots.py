"""Plots are PNG files, also of short histories and odd labels."""

from io import BytesIO

import pytest
import torch
from PIL import Image

from training import evaluation, plots
from training.loop import Epoch, Metrics


def opened(content: bytes) -> Image.Image:
    image = Image.open(BytesIO(content))
    assert image.format == "PNG"
    image.load()
    return image


def history(epochs: int, validation: bool = True) -> list[Epoch]:
    return [
        Epoch(n, Metrics(1 / n, 1 - 1 / n), Metrics(2 / n, 0.5) if validation else None)
        for n in range(1, epochs + 1)
    ]


@pytest.mark.parametrize("validation", [True, False])
@pytest.mark.parametrize("epochs", [1, 5])
def test_curves(epochs: int, validation: bool) -> None:
    epochs_run = history(epochs, validation)
    image = opened(plots.curves(epochs_run, "colors", selected=epochs_run[-1]))
    assert image.width > image.height > 300


def test_curves_show_validation_and_selected_epoch() -> None:
    pictures = [
        plots.curves(history(3, validation), "colors", selected)
        for validation in (True, False)
        for selected in (None, history(3)[1])
    ]
    assert len(set(pictures)) == 4


def test_curves_of_a_training_that_diverged() -> None:
    nan = float("nan")
    opened(plots.curves([Epoch(1, Metrics(nan, 0.1), Metrics(nan, 0.1))], "colors"))


def result(labels: tuple[str, ...]) -> evaluation.Evaluation:
    targets = torch.arange(len(labels)).repeat(3)
    return evaluation.score(torch.eye(len(labels))[targets], targets, labels)


@pytest.mark.parametrize("classes", [1, 2, 10])
def test_confusion_grows_with_the_classes(classes: int) -> None:
    labels = tuple(f"class {number}" for number in range(classes))
    assert opened(plots.confusion(result(labels), "colors")).height > 70 * classes


def test_labels_are_no_formulas() -> None:
    opened(plots.confusion(result(("a$b_$c", "$", r"\frac", "x^2")), r"$\nothing$"))


def test_the_same_figures_give_the_same_file() -> None:
    first, again = (plots.confusion(result(("blue", "red")), "colors") for _ in range(2))
    assert first == again
