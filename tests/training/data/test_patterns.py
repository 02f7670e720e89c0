"""Images of no thing are the same each time, and differ from each other."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.preprocessing import InputSpec
from training.data import datasets, patterns


def test_there_are_as_many_of_each_kind() -> None:
    images, targets = patterns.draw(3, seed=1)
    assert targets == [kind for kind in range(len(patterns.LABELS)) for _ in range(3)]
    assert {(each.mode, each.size) for each in images} == {("RGB", (patterns.SIDE,) * 2)}


def test_an_image_depends_on_its_seed_and_number_alone() -> None:
    few, many, other = (patterns.draw(*asked)[0] for asked in ((2, 1), (4, 1), (2, 2)))
    for kind in range(len(patterns.LABELS)):
        for number in range(2):
            assert few[2 * kind + number].tobytes() == many[4 * kind + number].tobytes()
            assert few[2 * kind + number].tobytes() != other[2 * kind + number].tobytes()


def test_images_of_a_kind_differ() -> None:
    """But for shapes and strokes that lie outside of the image."""
    images, targets = patterns.draw(50, seed=3)
    for kind in range(len(patterns.LABELS)):
        of_kind = {i.tobytes() for i, t in zip(images, targets, strict=True) if t == kind}
        assert len(of_kind) >= 48


@pytest.mark.parametrize("kind", ["noise", "stripes"])
def test_coarse_and_fine_ones_are_among_them(kind: str) -> None:
    """The mean step between neighbours, beside the spread of the image."""
    images, targets = patterns.draw(40, seed=3)
    wanted = patterns.LABELS.index(kind)
    steps = []
    for image, target in zip(images, targets, strict=True):
        if target == wanted:
            levels = np.asarray(image.convert("L")).astype(float)
            steps.append(np.abs(np.diff(levels, axis=1)).mean() / max(levels.std(), 1))
    assert min(steps) < 0.3
    assert max(steps) > 0.55


@pytest.mark.slow
def test_they_are_a_data_set_for_any_input(tmp_path: Path) -> None:
    spec = InputSpec(channels=1, height=12, width=10, mean=(0.5,), std=(0.5,))
    found = datasets.load("patterns", "test", tmp_path, spec)
    assert found.images.shape == (200 * len(patterns.LABELS), 1, 12, 10)
    assert found.labels == patterns.LABELS
    assert torch.equal(torch.bincount(found.targets), torch.full((6,), 200))
