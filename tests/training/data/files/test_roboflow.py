"""Roboflow's table of classes in each split."""

from pathlib import Path

import pytest

from models.preprocessing import InputSpec
from tests.networks import encode, picture
from training.data import datasets
from training.data.files.layout import DatasetError

SPEC = InputSpec(channels=3, height=8, width=8)
ROWS = "a.jpg, 1, 0, 0\nb.jpg, 0, 1, 0\nc.jpg, 1, 1, 0\nd.jpg, 0, 0, 0\ngone.jpg, 1, 0, 0\n"


def write(folder: Path, rows: str = ROWS, head: str = "filename, cat, dog, pets") -> Path:
    folder.mkdir(parents=True)
    for name in "abcde":
        (folder / f"{name}.jpg").write_bytes(encode(picture(0)))
    (folder / "_classes.csv").write_text(f"{head}\n{rows}")
    return folder


def test_each_split_has_its_table(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        write(tmp_path / "pets.v1i.multiclass" / split)
    found = datasets.load_all(str(tmp_path), tmp_path / "root", SPEC)
    assert list(found) == ["train", "validation", "test"]
    for images in found.values():
        assert images.labels == ("cat", "dog")  # no picture is of the group pets
        assert [Path(origin.name).name for origin in images.origins] == ["a.jpg", "b.jpg"]
        assert images.targets.tolist() == [0, 1]
        assert {path.name: reason for path, reason in images.left_out} == {
            "c.jpg": "2 classes in _classes.csv, in place of one",
            "d.jpg": "no classes in _classes.csv, in place of one",
            "gone.jpg": "in the table, and not there",
            "e.jpg": "not in _classes.csv",
        }


def test_without_a_split_a_fifth_is_for_testing(tmp_path: Path) -> None:
    rows = "".join(f"{name}.jpg,{int(name in 'ab')},{int(name in 'cde')}\n" for name in "abcde")
    write(tmp_path / "train", rows, "filename,cat,dog")
    found = datasets.load_all(str(tmp_path), tmp_path / "root", SPEC)
    assert {split: len(images) for split, images in found.items()} == {"train": 3, "test": 2}


@pytest.mark.parametrize("head", ["filename", "filename,cat,cat"])
def test_columns_that_are_unclear(tmp_path: Path, head: str) -> None:
    write(tmp_path / "train", "", head)
    with pytest.raises(DatasetError, match=r"_classes.csv needs the column filename, and one"):
        datasets.load(str(tmp_path), "train", tmp_path / "root", SPEC)
