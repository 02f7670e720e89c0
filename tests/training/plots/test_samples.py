"""A row of random pictures per class."""

import numpy as np
import torch

from tests.training.pictures import colors, numbered
from tests.training.plots.drawn import Drawn, values
from training import plots
from training.data.datasets import ImageSet


def drawn_samples(images: ImageSet, seed: int = 0) -> bytes:
    return plots.samples(images, "colors", torch.Generator().manual_seed(seed))


def rows(drawn: Drawn) -> list[str]:
    return [label.get_text() for label in drawn.figure.axes[0].get_yticklabels()]


def tiles(drawn: Drawn) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The middle of each tile of 8×8 pixels with gaps of one: (rows, 10, 3)."""
    return values(drawn.figure.axes[0])[4::9, 4::9]


def test_ten_of_each_class_in_the_order_of_the_labels(drawn: Drawn) -> None:
    drawn_samples(colors(12))
    assert rows(drawn) == ["blue (12)", "green (12)", "red (12)"]
    grid = tiles(drawn)
    assert grid.shape == (3, 10, 3)
    assert np.array_equal(grid.argmax(-1), [[0] * 10, [1] * 10, [2] * 10])


def test_none_is_drawn_twice(drawn: Drawn) -> None:
    drawn_samples(numbered(40, classes=2))
    even, odd = tiles(drawn)[..., 0]
    assert len(set(even)) == len(set(odd)) == 10
    assert set(even % 2) == {0}
    assert set(odd % 2) == {1}


def test_the_seed_decides(drawn: Drawn) -> None:
    files = [drawn_samples(numbered(100), seed) for seed in (0, 0, 1)]
    assert files[0] == files[1] != files[2]


def test_a_row_ends_where_there_are_no_more(drawn: Drawn) -> None:
    images = numbered(6, classes=2).subset(torch.tensor([0, 2, 4]))  # none of the second class
    drawn_samples(images)
    assert rows(drawn) == ["a (3)", "b (0)"]
    grid = tiles(drawn)[..., 0]
    assert sorted(grid[0, :3]) == [0, 2, 4]
    assert {*grid[0, 3:], *grid[1]} == {220}  # the colour of the gaps


def test_of_very_many_classes_the_first_are_drawn(drawn: Drawn) -> None:
    images = torch.zeros(51, 1, 4, 4, dtype=torch.uint8)
    drawn_samples(ImageSet(images, torch.arange(51), tuple(map(str, range(51)))))
    assert rows(drawn) == [f"{number} (1)" for number in range(50)]
    assert drawn.title == "colors (the first 50 of 51 classes)"


def test_grey_pictures(drawn: Drawn) -> None:
    images = torch.full((2, 1, 8, 8), 7, dtype=torch.uint8)
    drawn_samples(ImageSet(images, torch.tensor([0, 1]), ("a", "b" * 100)))
    assert tiles(drawn)[0, 0].tolist() == [7, 7, 7]
    assert drawn.words_outside() == []


def test_long_labels_are_whole(drawn: Drawn) -> None:
    labels = ("a label of sixty letters, which is longer than one would like " * 3, "W" * 90)
    drawn_samples(ImageSet(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.arange(2), labels))
    told = ["".join(row.split()) for row in rows(drawn)]  # without the ends of lines
    assert told == ["".join(label.split()) + "(1)" for label in labels]
    assert drawn.words_outside() == []
    assert drawn.overlapping_ticks() == []
