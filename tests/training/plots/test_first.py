"""The first pictures of a set, each with what it is and what it was taken for."""

import torch

from tests.training.plots.drawn import Drawn, opened
from training import plots


def first(actual: list[str], predicted: list[str]) -> bytes:
    images = torch.full((len(actual), 1, 4, 4), 7, dtype=torch.uint8)
    return plots.first(images, actual, predicted, "The first")


def test_a_wrong_one_is_red(drawn: Drawn) -> None:
    opened(first(["7", "2", "1"], ["7", "3", "1"]))
    titles = [axes.title for axes in drawn.figure.axes if axes.images]
    assert [title.get_text() for title in titles] == ["7\nas 7", "2\nas 3", "1\nas 1"]
    assert [title.get_color() for title in titles] == ["black", "tab:red", "black"]


def test_ten_have_two_rows(drawn: Drawn) -> None:
    one, two = (opened(first(["a"] * count, ["b"] * count)) for count in (5, 10))
    assert two.height > 1.7 * one.height
    assert len([axes for axes in drawn.figure.axes if axes.images]) == 10


def test_long_labels_are_whole(drawn: Drawn) -> None:
    label = "a label of sixty letters, which is longer than one would like"
    first([label] * 3, [label] * 3)
    text = drawn.figure.axes[0].get_title()
    assert text.replace("\n", " ") == f"{label} as {label}"
    assert drawn.words_outside() == []
