"""Pictures that were taken for another class."""

from itertools import pairwise

import pytest
import torch

from tests.training.plots.drawn import Drawn, opened
from training import plots


def mistakes(count: int, label: str = "red", name: str = "1.png") -> bytes:
    images = torch.full((count, 3, 4, 4), 200, dtype=torch.uint8)
    return plots.mistakes(
        images, [label] * count, ["blue"] * count, [0.5] * count, "mistakes", [name] * count
    )


@pytest.mark.parametrize("count", [1, 5, 6])
def test_each_is_told(count: int, drawn: Drawn) -> None:
    mistakes(count)
    told = [axes.get_title() for axes in drawn.figure.axes if axes.images]
    assert told == ["1.png\nred\nas blue\n0.50"] * count


def test_none_leaves_the_title_alone(drawn: Drawn) -> None:
    image = opened(mistakes(0))
    assert drawn.title == "mistakes"
    assert image.height < 100


def test_long_labels_do_not_run_into_each_other(drawn: Drawn) -> None:
    label = "a label of very many letters that goes on and on"
    mistakes(5, label, "a name as long" * 9 + ".png")
    titles = [axes.title for axes in drawn.figure.axes]
    boxes = [title.get_window_extent() for title in titles]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    assert drawn.words_outside() == []
    name, *lines, _, _ = titles[0].get_text().split("\n")
    assert name.startswith("a name as lon")
    assert "…" in name
    assert name.endswith("a name as long.png"[-12:])
    assert " ".join(lines) == label


@pytest.mark.parametrize(
    "label",
    [
        "golden_retriever_that_sits_in_the_grass_and_looks_at_the_sky",
        "W" * 200,
        "蚂蚁蜜蜂" * 15,
        "نملة صغيرة " * 6,
    ],
)
def test_labels_are_whole_and_apart(label: str, drawn: Drawn) -> None:
    mistakes(6, label)
    titles = [axes.title for axes in drawn.figure.axes if axes.images]
    boxes = [title.get_window_extent() for title in titles]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes[:5]))
    assert boxes[5].y1 < min(axes.get_window_extent().y0 for axes in drawn.figure.axes[:5])
    assert "…" not in titles[0].get_text()
    assert drawn.words_outside() == []


def test_grey_pictures_keep_their_levels(drawn: Drawn) -> None:
    plots.mistakes(
        torch.full((1, 1, 4, 4), 7, dtype=torch.uint8), ["a"], ["b"], [1.0], "grey", ["c"]
    )
    assert drawn.figure.axes[0].images[0].get_clim() == (0, 255)
