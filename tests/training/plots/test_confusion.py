"""Confusion matrices of few classes and of many."""

import numpy as np
import pytest
import torch

from tests.cases import one_in
from tests.training.plots.drawn import Drawn, opened, values
from training import plots
from training.fitting import evaluation


def result(labels: tuple[str, ...]) -> evaluation.Evaluation:
    """Three pictures of each class, all taken for what they are."""
    targets = torch.arange(len(labels)).repeat(3)
    return evaluation.score(torch.eye(len(labels))[targets], targets, labels)


def numbered(classes: int) -> tuple[str, ...]:
    return tuple(f"class {number}" for number in range(classes))


@pytest.mark.parametrize("classes", [1, 2, 10])
def test_it_grows_with_the_classes(classes: int) -> None:
    assert opened(plots.confusion(result(numbered(classes)), "colors")).height > 70 * classes


def test_counts_are_written_and_shares_are_coloured(drawn: Drawn) -> None:
    targets = torch.tensor([0] * 8 + [1] * 2)
    logits = torch.eye(2)[torch.tensor([0] * 6 + [1] * 2 + [0, 1])]
    plots.confusion(evaluation.score(logits, targets, ("large", "small")), "colors")
    axes, scale = drawn.figure.axes
    assert [text.get_text() for text in axes.texts] == ["6", "2", "1", "1"]
    assert np.array_equal(values(axes), [[0.75, 0.25], [0.5, 0.5]])
    assert axes.images[0].get_clim() == (0, 1)
    assert scale.get_ylabel() == "share of the actual class"


def test_a_class_without_pictures(drawn: Drawn) -> None:
    targets = torch.zeros(3, dtype=torch.int64)
    plots.confusion(evaluation.score(torch.eye(2)[targets], targets, ("a", "b")), "colors")
    assert np.array_equal(values(drawn.figure.axes[0]), [[1, 0], [0, 0]])


@pytest.mark.parametrize(
    ("classes", "counts", "names"), [(30, 900, True), (31, 0, True), (101, 0, False)]
)
def test_what_can_not_be_read_is_not_written(
    classes: int, counts: int, names: bool, drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "matplotlib.figure.Figure.savefig", lambda figure, *_, **__: drawn.append(figure)
    )
    plots.confusion(result(numbered(classes)), "colors")
    axes = drawn.figure.axes[0]
    assert len(axes.texts) == counts
    assert ("class 1" in [label.get_text() for label in axes.get_yticklabels()]) == names


def test_labels_are_no_formulas() -> None:
    opened(plots.confusion(result(("a$b_$c", "$", r"\frac", "x^2")), r"$\nothing$"))


def test_long_labels_and_titles_stay_in_the_figure(drawn: Drawn) -> None:
    plots.confusion(result(tuple(f"{n} {'long ' * 30}{n}" for n in range(3))), "title " * 30)
    assert drawn.words_outside() == []


@pytest.mark.parametrize("classes", one_in(3, [3, 20, 40]))
def test_long_labels_are_whole(classes: int, drawn: Drawn) -> None:
    long = "a label of sixty letters, which is longer than one would like"
    names = [f"{n} {long}" if n % 2 else f"{long.replace(' ', '_')}_{n}" for n in range(classes)]
    plots.confusion(result(tuple(names)), "colors")
    axes = drawn.figure.axes[0]
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        told = ["".join(label.get_text().split()) for label in labels]  # without the ends of lines
        assert told == ["".join(name.split()) for name in names]
    assert drawn.words_outside() == []
    assert drawn.overlapping_ticks() == []


def test_the_same_figures_give_the_same_file() -> None:
    first, again = (plots.confusion(result(("blue", "red")), "colors") for _ in range(2))
    assert first == again
