"""Which files of a folder are for training and which for testing, and of which class."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from training.data import folders
from training.data.folders import Split


def write(folder: Path, *paths: str) -> Path:
    """Files by their names; what is in them is not looked at."""
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"")
    return folder


def names(folder: Path, split: Split, seed: int = 0) -> list[str]:
    return [str(path.relative_to(folder)) for path in folders.files(folder, split, seed).paths]


def pets(counts: dict[str, int]) -> Iterable[str]:
    return (f"{label}/{number:02}.png" for label, n in counts.items() for number in range(n))


class TestTwoLevels:
    def test_each_split_has_its_folder(self, tmp_path: Path) -> None:
        write(tmp_path, "train/cat/0.png", "train/dog/1.jpg", "test/cat/2.png", "test/dog/3.png")
        found = folders.files(tmp_path, "train", seed=0)
        assert found.labels == ("cat", "dog")
        assert found.targets == (0, 1)
        assert names(tmp_path, "train") == ["train/cat/0.png", "train/dog/1.jpg"]
        assert names(tmp_path, "test") == ["test/cat/2.png", "test/dog/3.png"]

    @pytest.mark.parametrize("name", ["test", "val", "valid", "validation"])
    def test_names_of_the_test_folder(self, tmp_path: Path, name: str) -> None:
        write(tmp_path, "train/cat/0.png", f"{name}/cat/1.png")
        assert names(tmp_path, "train") == ["train/cat/0.png"]
        assert names(tmp_path, "test") == [f"{name}/cat/1.png"]

    def test_test_goes_before_val(self, tmp_path: Path) -> None:
        write(tmp_path, "train/cat/0.png", "test/cat/1.png", "val/cat/2.png")
        assert names(tmp_path, "test") == ["test/cat/1.png"]

    def test_without_a_test_folder_a_fifth_is_for_testing(self, tmp_path: Path) -> None:
        write(tmp_path / "train", *pets({"cat": 10, "dog": 5}))
        assert len(names(tmp_path, "train")) == 8 + 4
        assert len(names(tmp_path, "test")) == 2 + 1

    def test_test_pictures_without_classes_are_no_test_set(self, tmp_path: Path) -> None:
        write(tmp_path / "train", *pets({"cat": 10, "dog": 5}))
        write(tmp_path / "test", "1.png", "2.png")
        assert len(names(tmp_path, "test")) == 2 + 1

    def test_a_class_may_be_called_train(self, tmp_path: Path) -> None:
        write(tmp_path, *pets({"boat": 5, "plane": 5, "train": 5}))
        assert folders.files(tmp_path, "train", seed=0).labels == ("boat", "plane", "train")
        assert folders.is_data_set(tmp_path)

    def test_labels_are_those_of_each_split(self, tmp_path: Path) -> None:
        write(tmp_path, "train/cat/0.png", "train/dog/1.png", "test/dog/2.png")
        found = folders.files(tmp_path, "test", seed=0)
        assert (found.labels, found.targets) == (("dog",), (0,))


class TestOneLevel:
    @pytest.mark.parametrize(
        ("pictures", "for_testing"), [(1, 0), (2, 1), (3, 1), (4, 1), (5, 1), (10, 2), (42, 8)]
    )
    def test_a_fifth_of_each_class_is_for_testing(
        self, tmp_path: Path, pictures: int, for_testing: int
    ) -> None:
        write(tmp_path, *pets({"cat": pictures, "dog": 20}))
        counts = {
            split: [folders.files(tmp_path, split, seed=3).targets.count(t) for t in (0, 1)]
            for split in ("train", "test")
        }
        assert counts["test"] == [for_testing, 4]
        assert counts["train"] == [pictures - for_testing, 16]

    def test_no_file_is_in_both_and_none_is_lost(self, tmp_path: Path) -> None:
        write(tmp_path, *pets({"cat": 13, "dog": 7}))
        train, test = names(tmp_path, "train"), names(tmp_path, "test")
        assert sorted(train + test) == sorted(pets({"cat": 13, "dog": 7}))
        assert train == sorted(train)

    def test_the_seed_decides(self, tmp_path: Path) -> None:
        write(tmp_path, *pets({"cat": 20, "dog": 20}))
        assert names(tmp_path, "test", 1) == names(tmp_path, "test", 1)
        assert names(tmp_path, "test", 1) != names(tmp_path, "test", 2)

    def test_targets_are_those_of_the_folders(self, tmp_path: Path) -> None:
        write(tmp_path, *pets({"cat": 9, "cow": 8, "dog": 7}))
        found = folders.files(tmp_path, "train", seed=0)
        assert found.labels == ("cat", "cow", "dog")
        classes = [found.labels[target] for target in found.targets]
        assert classes == [path.parent.name for path in found.paths]

    def test_a_class_that_is_empty_keeps_its_label(self, tmp_path: Path) -> None:
        write(tmp_path, *pets({"cat": 5}))
        (tmp_path / "ant").mkdir()
        found = folders.files(tmp_path, "train", seed=0)
        assert found.labels == ("ant", "cat")
        assert set(found.targets) == {1}

    def test_a_folder_of_empty_classes(self, tmp_path: Path) -> None:
        (tmp_path / "cat").mkdir()
        found = folders.files(tmp_path, "train", seed=0)
        assert (found.paths, found.targets, found.labels) == ((), (), ("cat",))


class TestFiles:
    def test_files_may_lie_deeper(self, tmp_path: Path) -> None:
        write(tmp_path, "train/cat/2024/may/0.png", "train/cat/1.png", "test/cat/2.png")
        assert names(tmp_path, "train") == ["train/cat/1.png", "train/cat/2024/may/0.png"]

    @pytest.mark.parametrize(
        "name", ["0.png", "0.PNG", "0.jpg", "0.jpeg", "0.webp", "0.bmp", "0.gif", "0.tiff", "0.ppm"]
    )
    def test_pictures_by_their_names(self, tmp_path: Path, name: str) -> None:
        write(tmp_path, f"train/cat/{name}", "test/cat/1.png")
        assert names(tmp_path, "train") == [f"train/cat/{name}"]

    @pytest.mark.parametrize(
        "name",
        ["notes.txt", "0.npy", "png", "0.pdf", ".0.png", "._0.png", ".cache/0.png", "a/.b/0.png"],
    )
    def test_what_is_passed_over(self, tmp_path: Path, name: str) -> None:
        write(tmp_path, f"train/cat/{name}", "train/cat/1.png", "test/cat/1.png")
        assert names(tmp_path, "train") == ["train/cat/1.png"]

    def test_a_hidden_folder_is_no_class(self, tmp_path: Path) -> None:
        write(tmp_path, "train/cat/0.png", "train/.git/0.png", "train/0.png", "test/cat/1.png")
        assert folders.files(tmp_path, "train", seed=0).labels == ("cat",)

    def test_hidden_folders_above_do_not_matter(self, tmp_path: Path) -> None:
        write(tmp_path / ".data", "train/cat/0.png", "test/cat/1.png")
        assert names(tmp_path / ".data", "train") == ["train/cat/0.png"]


@pytest.mark.parametrize(
    ("paths", "is_one"),
    [
        (["cat/0.png"], True),
        (["train/cat/0.png"], True),
        (["0.png"], False),
        (["train/0.png", "test/cat/0.png"], False),
        (["train/0.png"], False),
        (["train/0.png", "boat/0.png"], True),
        ([".git/0.png"], False),
        ([], False),
    ],
)
def test_what_a_data_set_is(tmp_path: Path, paths: list[str], is_one: bool) -> None:
    assert folders.is_data_set(write(tmp_path, *paths)) is is_one


@pytest.mark.parametrize("name", ["a-file", "missing"])
def test_what_is_no_folder_is_none(tmp_path: Path, name: str) -> None:
    write(tmp_path, "a-file")
    assert not folders.is_data_set(tmp_path / name)
