"""Data sets that are a folder of pictures: classes, splits, broken and copied files."""

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from models.preprocessing import ImageError, InputSpec
from tests.networks import LABELS, SPEC, encode, picture
from tests.training.data.test_datasets import SPLITS, equal
from tests.training.pictures import colors, numbers, write_colors
from training.data import datasets
from training.data.datasets import DatasetError
from training.data.files import folders, sources
from training.data.files.splits import Split


class TestImageFolder:
    @pytest.mark.parametrize(("split", "seed"), [("train", 0), ("test", 1)])
    def test_pictures_targets_and_labels(self, root: Path, split: Split, seed: int) -> None:
        images = datasets.load("colors", split, root, SPEC)
        assert images.in_memory.dtype == torch.uint8
        assert images.targets.dtype == torch.int64
        assert len(images) == 12
        assert equal(images, colors(4, seed))

    def test_a_folder_by_its_path(self, root: Path, tmp_path: Path) -> None:
        by_path = datasets.load(str(root / "colors"), "train", tmp_path / "elsewhere", SPEC)
        assert equal(by_path, datasets.load("colors", "train", root, SPEC))

    def test_a_folder_by_its_path_from_here(
        self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(root)
        assert len(datasets.load("colors", "train", tmp_path / "elsewhere", SPEC)) == 12

    def test_pictures_are_scaled_to_the_input(self, root: Path) -> None:
        images = datasets.load("colors", "train", root, InputSpec(channels=1, height=5, width=6))
        assert images.images.shape == (12, 1, 5, 6)

    def test_pictures_in_folders_of_a_class(self, root: Path) -> None:
        deep = root / "colors" / "train" / "red" / "more" / "still more"
        deep.mkdir(parents=True)
        picture(0).save(deep / "9.bmp")
        images = datasets.load("colors", "train", root, SPEC)
        assert torch.bincount(images.targets).tolist() == [4, 4, 5]

    def test_pictures_come_in_the_order_of_their_paths(self, tmp_path: Path) -> None:
        folder = tmp_path / "d" / "train"
        for level, name in ((30, "a/c.png"), (10, "a/a.jpg"), (20, "a/b.PNG"), (40, "b/a.png")):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(
                encode(Image.new("RGB", (8, 8), (level,) * 3), "PNG" if level > 10 else "JPEG")
            )
        (tmp_path / "d" / "test" / "a").mkdir(parents=True)
        assert numbers(datasets.load("d", "train", tmp_path, SPEC)) == [10, 20, 30, 40]

    def test_other_files_are_ignored(self, root: Path) -> None:
        red = root / "colors" / "train" / "red"
        hidden = red / ".ipynb_checkpoints"
        hidden.mkdir()
        picture(0).save(hidden / "0-checkpoint.png")
        (red / "._0.png").write_bytes(b"written by macOS")
        (red / "notes.txt").write_text("no picture")
        (red / "folder.png").mkdir()
        (root / "colors" / "train" / "README.md").write_text("no class")
        (root / "colors" / "train" / ".cache").mkdir()
        assert equal(datasets.load("colors", "train", root, SPEC), colors(4))

    @pytest.mark.parametrize("labels", [["green"], ["blue", "red"]], ids=" ".join)
    def test_broken_pictures_are_named_and_left_out(self, root: Path, labels: list[str]) -> None:
        broken = [root / "colors" / "train" / label / "0.png" for label in labels]
        for path in broken:
            path.write_bytes(path.read_bytes()[:60])
        images = datasets.load("colors", "train", root, SPEC)
        assert [path for path, _ in images.left_out] == broken
        assert all("corrupt or truncated" in reason for _, reason in images.left_out)
        whole = [i for i in range(12) if not (i % 4 == 0 and LABELS[i // 4] in labels)]
        assert torch.equal(images.in_memory, colors(4).in_memory[whole])
        assert torch.equal(images.targets, colors(4).targets[whole])

    def test_no_classes(self, tmp_path: Path) -> None:
        (tmp_path / "flat" / "train").mkdir(parents=True)
        picture(0).save(tmp_path / "flat" / "train" / "0.png")
        with pytest.raises(DatasetError, match=r"no data set 'flat': .* no folders with pictures"):
            datasets.load("flat", "train", tmp_path, SPEC)

    @pytest.mark.parametrize("split", ["train", "test"])
    def test_no_pictures(self, tmp_path: Path, split: Split) -> None:
        for label in LABELS:
            (tmp_path / "empty" / "train" / label).mkdir(parents=True)
        problem = rf"empty has no pictures \({split}\) of blue, green, red: add some"
        with pytest.raises(DatasetError, match=problem):
            datasets.load("empty", split, tmp_path, SPEC)

    def test_a_class_that_can_not_be_learned(self, root: Path) -> None:
        (root / "colors" / "train" / "cyan").mkdir()
        problem = r"colors has no pictures \(train\) of cyan: add some, or remove the folder"
        with pytest.raises(DatasetError, match=problem):
            datasets.load("colors", "train", root, SPEC)

    def test_a_single_class(self, tmp_path: Path) -> None:
        shutil.copytree(write_colors(tmp_path / "c") / "train" / "red", tmp_path / "pets" / "dog")
        problem = r"pets has one class, dog, and .* needs two: .*; give .*pets/dog if the classes"
        with pytest.raises(DatasetError, match=problem):
            datasets.load("pets", "train", tmp_path, SPEC)

    def test_torchvisions_folder_where_capitals_are_small_letters(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "MNIST" / "raw").mkdir(parents=True)

        def any_letters(folder: Path) -> bool:
            return any(f.name.lower() == folder.name for f in folder.parent.iterdir())

        monkeypatch.setattr(folders, "is_data_set", any_letters)
        assert sources.source_of("mnist", tmp_path) is None
        (tmp_path / "MNIST").rename(tmp_path / "mnist")
        assert sources.source_of("mnist", tmp_path) == tmp_path / "mnist"

    @pytest.mark.parametrize(
        ("train", "test", "message"),
        [
            ("Cat", "cat", "Test has classes that .*Train has not: cat; .*rename 'cat' in .*'Cat'"),
            ("guinea pig", "guinea_pig", "rename 'guinea_pig' in .*Test to 'guinea pig'"),
            ("Caf\u00e9", "Cafe\u0301", r"two ways that look the same: rename 'Cafe\\u0301'"),
            ("cat", "cow", "has not: cow; .* has cat, dog: give a class the same name in both"),
        ],
    )
    def test_labels_that_differ_between_splits(
        self, tmp_path: Path, train: str, test: str, message: str
    ) -> None:
        for name in (f"Train/{train}", "Train/dog", f"Test/{test}", "Test/dog"):
            (tmp_path / "pets" / name).mkdir(parents=True)
            (tmp_path / "pets" / name / "0.png").write_bytes(encode(picture(0)))
        with pytest.raises(DatasetError, match=message) as raised:
            datasets.load_all("pets", tmp_path, SPEC)
        assert "model" not in str(raised.value).replace(str(tmp_path), "")

    @pytest.mark.parametrize(
        ("one", "other"), [("Cat", "cat"), ("guinea pig", "guinea_pig"), ("Café", "CAFE\u0301")]
    )
    def test_two_classes_that_people_take_for_one_are_asked_about(
        self, tmp_path: Path, one: str, other: str
    ) -> None:
        (tmp_path / "pets").mkdir()
        rows = [f"{n}.png,{(one, other, 'dog')[n % 3]}" for n in range(9)]
        (tmp_path / "pets" / "labels.csv").write_text("\n".join(["path,label", *rows]))
        for number in range(9):
            (tmp_path / "pets" / f"{number}.png").write_bytes(encode(picture(number)))
        with pytest.raises(DatasetError, match="people take for one") as raised:
            datasets.load_all("pets/labels.csv", tmp_path, SPEC)
        assert f"{one!a}" in str(raised.value)
        assert f"{other!a}" in str(raised.value)

    def test_single_letters_may_differ_in_their_case(self, tmp_path: Path) -> None:
        rows = [f"{n}.png,{'aAbB'[n % 4]}" for n in range(8)]
        (tmp_path / "labels.csv").write_text("\n".join(["path,label", *rows]))
        for number in range(8):
            (tmp_path / f"{number}.png").write_bytes(encode(picture(number)))
        assert set(datasets.load_all("labels.csv", tmp_path, SPEC)["train"].labels) == set("aAbB")

    def test_why_a_class_has_no_pictures(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        red = root / "colors" / "train" / "red"
        for path in red.iterdir():
            path.unlink()
        for number in range(3):
            (red / f"{number}.svg").write_text("<svg/>")

        def without(encoded: bytes, spec: InputSpec) -> None:
            raise ImageError("a HEIC, which needs pip install 'fanlight[heif]'")

        with pytest.raises(DatasetError, match=r"of red; 3 files .* \.svg is no image .* \(3\)"):
            datasets.load("colors", "train", root, SPEC)
        monkeypatch.setattr(datasets, "read", without)
        with pytest.raises(DatasetError, match=r"needs pip install 'fanlight\[heif\]' \(8\)"):
            datasets.load("colors", "train", root, SPEC)

    def test_many_classes_are_not_all_named(self, tmp_path: Path) -> None:
        for number in range(100):
            (tmp_path / "many" / f"c{number:02}").mkdir(parents=True)
            (tmp_path / "many" / f"c{number:02}" / "a.txt").write_text("a")
        with pytest.raises(DatasetError, match=r"c06, c07 and 92 more; 100 files could not"):
            datasets.load("many", "train", tmp_path, SPEC)

    def test_a_folder_called_like_a_data_set_is_told(self, root: Path) -> None:
        (root / "colors").rename(root / "mnist")
        notes = datasets.load("mnist", "train", root, SPEC).notes
        assert "mnist is the name of a data set of Fanlight, and " in notes[0]

    def test_a_misspelt_folder(self, root: Path) -> None:
        with pytest.raises(DatasetError, match=r"did you mean '.*colors'\? there is no folder"):
            datasets.load(str(root / "colours"), "train", root, SPEC)

    def test_a_class_whose_pictures_are_all_broken(self, root: Path) -> None:
        for path in (root / "colors" / "train" / "red").iterdir():
            path.write_bytes(b"no picture")
        with pytest.raises(DatasetError, match=r"of red; 4 files could not be read"):
            datasets.load("colors", "train", root, SPEC)

    def test_a_class_without_pictures_to_test_keeps_its_label(self, root: Path) -> None:
        (root / "colors" / "test" / "cyan").mkdir()
        images = datasets.load("colors", "test", root, SPEC)
        assert images.labels == ("blue", "cyan", "green", "red")
        assert torch.bincount(images.targets).tolist() == [4, 0, 4, 4]

    @pytest.mark.slow
    def test_a_large_folder_of_any_name(self, tmp_path: Path) -> None:
        folder = tmp_path / "[/bold]" / "train" / "[red]"
        folder.mkdir(parents=True)
        (tmp_path / "[/bold]" / "test" / "[red]").mkdir(parents=True)
        content = encode(picture(0, (1, 1)))
        for number in range(1000):  # enough for a progress bar, which names the folder
            (folder / f"{number}.png").write_bytes(content)
        folder.with_name("[blue]").mkdir()
        (folder.with_name("[blue]") / "0.png").write_bytes(content)
        images = datasets.load(
            "[/bold]", "train", tmp_path, InputSpec(channels=1, height=1, width=1)
        )
        assert (len(images), images.labels) == (1001, ("[blue]", "[red]"))


class TestOneLevel:
    """A folder of classes, without train and test."""

    @pytest.fixture
    def flat(self, tmp_path: Path) -> Path:
        """Ten pictures of each class, each filled with its number."""
        for number in range(30):
            path = tmp_path / "flat" / "abc"[number % 3] / f"{number:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (number,) * 3).save(path)
        return tmp_path

    def test_a_fifth_of_each_class_is_for_testing(self, flat: Path) -> None:
        train, test = (datasets.load("flat", split, flat, SPEC) for split in SPLITS)
        assert torch.bincount(train.targets).tolist() == [8, 8, 8]
        assert torch.bincount(test.targets).tolist() == [2, 2, 2]
        assert sorted(numbers(train) + numbers(test)) == list(range(30))
        for part in (train, test):
            assert part.targets.tolist() == [number % 3 for number in numbers(part)]
            assert part.labels == ("a", "b", "c")

    def test_the_seed_decides(self, flat: Path) -> None:
        parts = [numbers(datasets.load("flat", "test", flat, SPEC, seed)) for seed in (1, 1, 2)]
        assert parts[0] == parts[1] != parts[2]
