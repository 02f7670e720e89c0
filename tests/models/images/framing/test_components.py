import numpy as np
import pytest

from models.images.framing.components import components, filled, grown


def test_corners_connect() -> None:
    mask = np.array([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 1]], bool)
    labels, count = components(mask)
    assert count == 3
    assert labels[0, 0] == labels[1, 1] != labels[0, 3]
    assert (labels[~mask] == -1).all()


@pytest.mark.parametrize("seed", range(5))
def test_labels_are_those_of_a_search(seed: int) -> None:
    mask = np.random.default_rng(seed).random((20, 30)) < 0.4
    labels, count = components(mask)
    seen = np.full(mask.shape, -1)
    parts = 0
    for start in zip(*np.nonzero(mask), strict=True):
        if seen[start] >= 0:
            continue
        waiting = [start]
        while waiting:
            row, column = waiting.pop()
            if 0 <= row < 20 and 0 <= column < 30 and mask[row, column] and seen[row, column] < 0:
                seen[row, column] = parts
                waiting += [(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        parts += 1
    assert count == parts
    assert len(set(zip(labels[mask].tolist(), seen[mask].tolist(), strict=True))) == parts


def test_a_spiral_is_one() -> None:
    mask = np.ones((101, 101), bool)
    for turn in range(0, 50, 2):
        mask[turn + 1, turn + 1 : 99 - turn] = False
        mask[turn + 1 : 99 - turn, 99 - turn] = False
        mask[99 - turn, turn + 1 : 100 - turn] = False
        mask[turn + 3 : 100 - turn, turn + 1] = False
    assert components(mask)[1] == 1


def test_an_empty_mask_has_no_parts() -> None:
    labels, count = components(np.zeros((3, 4), bool))
    assert count == 0
    assert (labels == -1).all()


def test_holes_are_filled() -> None:
    ring = np.zeros((7, 7), bool)
    ring[1:6, 1:6] = True
    ring[3, 3] = False
    assert filled(ring)[3, 3]
    assert not filled(ring)[0, 0]
    assert filled(ring).sum() == 25


def test_a_mask_grows_in_a_square() -> None:
    mask = np.zeros((5, 6), bool)
    mask[0, 2] = True
    assert grown(mask, 1).nonzero()[0].tolist() == [0, 0, 0, 1, 1, 1]
    assert grown(mask, 1)[:2, 1:4].all()
