"""The data sets by name: what help, errors and the docs tell of them."""

from pathlib import Path

import pytest
import torch

from models.preprocessing import InputSpec
from tests.networks import SPEC
from tests.training.pictures import colors
from training.data import datasets, registry
from training.data.datasets import DatasetError, ImageSet
from training.data.registry import DATASETS, DatasetEntry
from training.data.sets import xo


def load(train: bool, _root: Path, _spec: InputSpec) -> ImageSet:
    return colors(4 if train else 2)


TOY = DatasetEntry(
    name="toy-colors",
    description="Pictures of one colour.",
    shape=(3, 8, 8),
    labels=("blue", "green", "red"),
    pictures=(12, 6),
    source="made by a test",
    load=load,
)


def test_these_are_there() -> None:
    assert DATASETS.names() == [
        "birds-vs-planes",
        "cifar10-others",
        "fashion-mnist",
        "fashion-mnist-inverted",
        "fashion-mnist-on-white",
        "mnist",
        "mnist-inverted",
        "patterns",
        "xo",
        "xo-by-hand",
    ]


def test_one_that_is_registered_is_loaded_and_told(tmp_path: Path) -> None:
    with DATASETS.restored():
        registry.register(TOY)
        assert len(datasets.load("toy-colors", "train", tmp_path, SPEC)) == 12
        assert len(datasets.load("toy-colors", "test", tmp_path, SPEC)) == 6
        assert "toy-colors" in registry.describe()
        row = "| `toy-colors` | Pictures of one colour. | 3×8×8 | 3 | 12 + 6 | made by a test |"
        assert row in registry.table()
        with pytest.raises(DatasetError, match="'toy-color': did you mean 'toy-colors'"):
            datasets.load("toy-color", "train", tmp_path, SPEC)


@pytest.mark.parametrize("name", ["xo", "xo-by-hand"])
def test_what_the_entry_says_is_what_is_drawn(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xo, "TEST", {"original": (4, 2), "by-hand": (4, 2)})
    entry = DATASETS.get(name)
    images = entry.load(False, tmp_path, entry.input)
    assert images.images.shape == (4, *entry.shape)
    assert images.labels == entry.labels
    assert images.targets.dtype == torch.int64
    assert xo.TRAIN["original"][0] in DATASETS.get("xo").pictures
