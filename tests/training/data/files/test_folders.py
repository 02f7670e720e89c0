"""Which files of a folder are for training and which for testing, and of which class."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.networks import encode, picture
from training.data.files import folders
from training.data.files.layout import DatasetError, look
from training.data.files.splits import SPLITS, Split, reading


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

    def test_validation_is_never_the_test_set(self, tmp_path: Path) -> None:
        write(tmp_path, *(f"train/{name}" for name in pets({"cat": 10})), "val/cat/1.png")
        assert len(names(tmp_path, "train")) == 8
        assert len(names(tmp_path, "test")) == 2
        assert names(tmp_path, "validation") == ["val/cat/1.png"]

    def test_each_of_three_splits_is_its_own(self, tmp_path: Path) -> None:
        write(tmp_path, "train/cat/0.png", "test/cat/1.png", "val/cat/2.png")
        assert names(tmp_path, "train") == ["train/cat/0.png"]
        assert names(tmp_path, "test") == ["test/cat/1.png"]
        assert names(tmp_path, "validation") == ["val/cat/2.png"]

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
        "name",
        [
            *("0.png", "0.PNG", "0.jpg", "0.jpeg", "0.webp", "0.bmp", "0.gif", "0.tiff", "0.ppm"),
            *("0.avif", "0.heic"),
        ],
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


PETS = ("{}/cat/0.png", "{}/dog/1.png")


def three(train: str, validation: str | None, test: str | None) -> list[str]:
    splits = [each for each in (train, validation, test) if each]
    return [path.format(split) for split in splits for path in PETS]


LAYOUTS: dict[str, list[str]] = {
    "small letters": three("train", "val", "test"),
    "capitals": three("Train", "Val", "Test"),
    "all capitals": three("TRAIN", None, "TEST"),
    "Kaggle's brain tumours": three("Training", None, "Testing"),
    "Intel's scenes": [
        *three("seg_train/seg_train", None, "seg_test/seg_test"),
        *("seg_pred/seg_pred/1.jpg", "seg_pred/seg_pred/2.jpg"),
    ],
    "Roboflow's": [*three("train", "valid", "test"), "README.roboflow.txt"],
    "the words in full": three("training", "validation", "testing"),
    "with set": three("train_set", "validation_set", "test_set"),
    "with images": three("train-images", None, "test-images"),
    "with data": three("data_train", None, "data test"),
    "dev": three("train", "dev", "test"),
    "without a test set": three("train", "val", None),
    "once too deep": three("pets/train", None, "pets/test"),
    "twice too deep": three("archive/pets/train", "archive/pets/val", None),
    "Keras's cats and dogs": [
        *three("cats_and_dogs_filtered/train", "cats_and_dogs_filtered/validation", None),
        "cats_and_dogs_filtered/vectorize.py",
    ],
    "of a zip that a Mac made": [
        *three("pets/train", None, "pets/test"),
        "__MACOSX/pets/train/cat/._0.png",
    ],
    "X-rays, with a copy inside": [
        *three("train", "val", "test"),
        *three("chest_xray/train", None, "chest_xray/test"),
    ],
    "Kaggle's, to be submitted": [*three("train", None, None), "test/1.png", "sample.csv"],
    "only train": three("train", None, None),
    "a notebook beside": [*three("train", None, "test"), ".ipynb_checkpoints/a.ipynb", "a.ipynb"],
    "classes alone": ["cat/0.png", "dog/1.png"],
    "classes too deep": ["images/cat/0.png", "images/dog/1.png", "licence.txt"],
    "classes called like the set": ["pets/cat/0.png", "pets/dog/1.png"],
    "years in the classes": ["cat/2023/0.png", "cat/2024/1.png", "dog/2024/may/1.png"],
    "years": three("train2017", "val2017", None),
    "of arrays": three("x_train", None, "x_test"),
    "with the subject": three("cats-train", None, "cats-test"),
    "with shares": three("90% train", None, "10% test"),
    "German": three("Übung", None, "Prüfung"),
    "German, as macOS writes it": three("U\u0308bung", None, "Pru\u0308fung"),
    "Spanish": three("entrenamiento", "validación", "prueba"),
    "Chinese": three("训练集", "验证集", "测试集"),
    "capitals inside": three("TrainImages", None, "TestImages"),
    "copies of a download": three("train (1)", None, "test (1)"),
    "of any name, too deep": three("a/pets/train", None, "a/pets/test"),
    "classes of any name, too deep": ["a/b/cat/0.png", "a/b/dog/1.png", "__MACOSX/a/._b"],
    "classes and test": ["cat/0.png", "dog/1.png", "test/cat/2.png", "test/dog/3.png"],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_as_people_have_them(tmp_path: Path, layout: str) -> None:
    paths = LAYOUTS[layout]
    data = write(tmp_path / "pets", *paths)
    with_classes = {Path(path).parent.parent for path in paths if path.endswith("cat/0.png")}
    splits = look(data).places
    found = {split: folders.files(data, split, seed=0) for split in SPLITS}
    for split in splits:
        assert found[split].labels == ("cat", "dog")
        assert set(found[split].targets) == {0, 1}
    words = {part for folder in with_classes for part in folder.parts}
    told = {found.split for found in map(reading, words) if found}
    assert set(splits) == {"train"} | told | ({"test"} if layout == "classes and test" else set())
    taken = [path for files in found.values() for path in files.paths]
    left_out = [path for files in found.values() for path, _ in files.left_out]
    assert sorted(taken + left_out) == sorted(data / path for path in paths)  # each once


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["cat/0.png", "dog/0.png", "val/0.png"], "beside them the folder val: if it is a class"),
        (["valid/0.png", "invalid/0.png"], "beside them the folder valid"),
        (["train/cat/0.png", "Training/cat/0.png"], "two folders for train, Training and train"),
        (["images/0.png", "labels/0.txt"], "images and labels, as data sets for detection have"),
        (["train/images/0.png", "train/labels/0.txt"], "as data sets for detection have"),
        (three("fold1", "fold2", "fold3"), "fold1, fold2, fold3, with the same .* cat, dog"),
        (three("a", None, "b"), "are splits, call them train, validation and test. If they are"),
        ([*three("a", None, "b"), "b/cow/0.png"], "with the same folders in them: cat, cow, dog"),
        (three("train/a", "train/b", "test"), "train has the folders a, b, with the same"),
        (three("train_1", "train_2", "test"), "two folders for train, train_1 and train_2"),
        (
            ["cat/train/0.png", "cat/test/0.png", "dog/0.png"],
            "cat holds test, train, as splits inside of classes are called, and dog holds none",
        ),
        (
            ["cat_train/0.png", "cat_test/0.png", "dog_train/0.png", "cow/0.png"],
            "no training folder for cow",
        ),
        (["cats-train/0.png", "cats-test/0.png", "dogs/0.png"], "beside them the folder cats-test"),
    ],
)
def test_what_is_ambiguous_is_asked_for(tmp_path: Path, paths: list[str], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        folders.files(write(tmp_path, *paths), "train", seed=0)


@pytest.mark.parametrize("form", ["{0}/{1}", "{0}/{0} {1}", "{0}_{1}", "{1}-{0}"])
@pytest.mark.parametrize("words", [("train", "test", "val"), ("Training", "Testing", "Valid")])
def test_splits_inside_of_classes(tmp_path: Path, form: str, words: tuple[str, ...]) -> None:
    parts = {
        word: [f"{form.format(label, word)}/0.png" for label in ("cat", "dog")] for word in words
    }
    write(tmp_path, *(path for paths in parts.values() for path in paths))
    order: tuple[Split, ...] = ("train", "test", "validation")
    for split, word in zip(order, words, strict=True):
        found = folders.files(tmp_path, split, seed=0)
        assert (found.labels, found.targets) == (("cat", "dog"), (0, 1))
        assert sorted(names(tmp_path, split)) == sorted(parts[word])


@pytest.mark.parametrize(
    ("paths", "classes"),
    [
        (["bullet-train/0.png", "bus/0.png", "test-tube/0.png"], ["bullet-train", "bus"]),
        (["bullet-train/0.png", "steam-train/0.png"], ["bullet-train", "steam-train"]),
        (["vehicle/car/0.png", "vehicle/train/0.png", "pet/cat/0.png"], ["pet", "vehicle"]),
        (["cat/2023/0.png", "cat/2024/0.png", "dog/2023/0.png", "dog/2024/0.png"], ["cat", "dog"]),
        (["cat/images/0.png", "dog/images/0.png"], ["cat", "dog"]),
        (["a/x/0.png", "a/y/0.png", "b/z/0.png", "b/w/0.png"], ["a", "b"]),
    ],
)
def test_classes_whose_names_are_like_those_of_splits(
    tmp_path: Path, paths: list[str], classes: list[str]
) -> None:
    found = folders.files(write(tmp_path, *paths), "train", seed=0)
    assert set(classes) <= set(found.labels)
    assert len(found.labels) == len({path.partition("/")[0] for path in paths})


def test_what_was_decided_is_told(tmp_path: Path) -> None:
    write(tmp_path, "a/x/0.png", "a/y/1.png", "b/z/0.png", "b/w/1.png")
    [note] = folders.files(tmp_path, "test", seed=0).notes
    assert note.endswith("a class has the pictures of all folders inside of it: a (x, y), b (w, z)")
    write(tmp_path / "more" / "pets", "cat/0.png", "dog/1.png")
    [note] = folders.files(tmp_path / "more", "test", seed=0).notes
    assert note.endswith("more has one folder, pets: what is in there is taken")


def test_classes_in_the_names_of_files(tmp_path: Path) -> None:
    """As in Kaggle's dogs and cats."""
    write(tmp_path, *(f"dvc/train/{c}.{n}.jpg" for c in ("cat", "dog") for n in range(10)))
    write(tmp_path, "dvc/test1/1.jpg")
    found = folders.files(tmp_path, "train", seed=0)
    assert (found.labels, len(found.paths)) == (("cat", "dog"), 16)
    assert "the classes are told by the names of the files, as cat.0.jpg" in found.notes[-1]
    assert [(p.name, reason) for p, reason in found.left_out] == [("1.jpg", "without classes")]


def test_names_that_a_camera_gives_are_no_classes(tmp_path: Path) -> None:
    write(tmp_path, "IMG_1.jpg", "IMG_2.jpg", "DSC_1.jpg", "DSC_2.jpg")
    assert not folders.is_data_set(tmp_path)


def test_test_pictures_beside_the_classes(tmp_path: Path) -> None:
    write(tmp_path, "cat/0.png", "dog/0.png", "test/cat/1.png", "validation/dog/2.png")
    assert names(tmp_path, "train") == ["cat/0.png", "dog/0.png"]
    assert names(tmp_path, "test") == ["test/cat/1.png"]
    assert names(tmp_path, "validation") == ["validation/dog/2.png"]


def test_nothing_is_passed_over_in_silence(tmp_path: Path) -> None:
    write(
        tmp_path / "train",
        *("cat/0.png", "cat/1.docx", "cat/2.svg", "cat/.DS_Store", "cat/notes", "README.md"),
        *("dog/0.png", "dog/Thumbs.db", ".ipynb_checkpoints/0.png", "dog/.cache/1.png"),
    )
    write(tmp_path, "test/1.png", "more/cat/1.png", "test2.png")
    (tmp_path / "train" / "dog" / "gone.png").symlink_to(tmp_path / "nowhere")
    left_out = folders.files(tmp_path, "train", seed=0).left_out
    reasons = {str(path.relative_to(tmp_path)): reason for path, reason in left_out}
    unread = " is no image format that is read; convert pictures to PNG or JPEG"
    assert reasons == {
        "train/cat/1.docx": f".docx{unread}",
        "train/cat/2.svg": f".svg{unread}",
        "train/cat/.DS_Store": folders.HIDDEN,
        "train/cat/notes": f"a file without an ending{unread}",
        "train/README.md": "in no class",
        "train/dog/Thumbs.db": folders.HIDDEN,
        "train/dog/.cache/1.png": folders.HIDDEN,
        "train/dog/gone.png": "a link to nothing",
        "train/.ipynb_checkpoints/0.png": folders.HIDDEN,
        "test/1.png": "without classes",
        "more/cat/1.png": "beside the splits",
        "test2.png": "beside the splits",
    }


def test_the_bytes_tell_a_picture_where_its_name_does_not(tmp_path: Path) -> None:
    write(tmp_path, "train/cat/a.jfif", "train/cat/b", "train/cat/c.txt", "test/cat/0.png")
    for name in ("a.jfif", "b", "c.txt"):
        (tmp_path / "train" / "cat" / name).write_bytes(encode(picture(0), "JPEG"))
    assert len(names(tmp_path, "train")) == 3


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/0.png", "set/train/dog/1.png", "set/test/dog/2.png")
    (tmp_path / "set" / "train" / "cat").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "again").symlink_to(tmp_path / "elsewhere")
    found = names(tmp_path / "set", "train")
    assert found == ["train/cat/0.png", "train/dog/1.png"]
