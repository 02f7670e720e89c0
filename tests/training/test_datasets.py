"""Data sets: folders of pictures, or files that torchvision knows, as pixels and targets."""

import hashlib
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.preprocessing import InputSpec
from models.vision import torchvision
from tests.networks import LABELS, SPEC, encode, picture
from tests.training.pictures import colors, numbered, numbers, write_colors
from training import datasets
from training.datasets import DatasetError, ImageSet, Split

GREY = InputSpec(channels=1, height=28, width=28)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of the data set `colors`."""
    write_colors(tmp_path / "colors", pictures=4)
    return tmp_path


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def equal(one: ImageSet, other: ImageSet) -> bool:
    return (
        torch.equal(one.images, other.images)
        and torch.equal(one.targets, other.targets)
        and one.labels == other.labels
    )


class TestImageFolder:
    @pytest.mark.parametrize(("split", "seed"), [("train", 0), ("test", 1)])
    def test_pictures_targets_and_labels(self, root: Path, split: Split, seed: int) -> None:
        images = datasets.load("colors", split, root, SPEC)
        assert images.images.dtype == torch.uint8
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
        folder = tmp_path / "d" / "train" / "a"
        folder.mkdir(parents=True)
        for level, name in ((30, "c.png"), (10, "a.jpg"), (20, "b.PNG")):
            (folder / name).write_bytes(
                encode(Image.new("RGB", (8, 8), (level,) * 3), "PNG" if level > 10 else "JPEG")
            )
        assert numbers(datasets.load("d", "train", tmp_path, SPEC)) == [10, 20, 30]

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
    def test_all_broken_pictures_are_named(self, root: Path, labels: list[str]) -> None:
        broken = [root / "colors" / "train" / label / "0.png" for label in labels]
        for path in broken:
            path.write_bytes(path.read_bytes()[:60])
        with pytest.raises(DatasetError) as caught:
            datasets.load("colors", "train", root, SPEC)
        first, *lines = str(caught.value).splitlines()
        assert first == "pictures that can't be read:"
        assert [line.partition(": ")[0].strip() for line in lines] == [str(p) for p in broken]

    def test_no_classes(self, tmp_path: Path) -> None:
        (tmp_path / "flat" / "train").mkdir(parents=True)
        picture(0).save(tmp_path / "flat" / "train" / "0.png")
        with pytest.raises(DatasetError, match="has no folders of pictures, one a class"):
            datasets.load("flat", "train", tmp_path, SPEC)

    def test_no_pictures(self, tmp_path: Path) -> None:
        for label in LABELS:
            (tmp_path / "empty" / "train" / label).mkdir(parents=True)
        with pytest.raises(DatasetError, match="empty/train has no pictures"):
            datasets.load("empty", "train", tmp_path, SPEC)

    def test_a_class_without_pictures_keeps_its_label(self, root: Path) -> None:
        (root / "colors" / "test" / "cyan").mkdir()
        images = datasets.load("colors", "test", root, SPEC)
        assert images.labels == ("blue", "cyan", "green", "red")
        assert torch.bincount(images.targets).tolist() == [4, 0, 4, 4]

    def test_a_large_folder_of_any_name(self, tmp_path: Path) -> None:
        folder = tmp_path / "[/bold]" / "train" / "[red]"
        folder.mkdir(parents=True)
        content = encode(picture(0, (1, 1)))
        for number in range(1000):  # enough for a progress bar, which names the folder
            (folder / f"{number}.png").write_bytes(content)
        images = datasets.load(
            "[/bold]", "train", tmp_path, InputSpec(channels=1, height=1, width=1)
        )
        assert (len(images), images.labels) == (1000, ("[red]",))


class TestLoad:
    def test_no_such_data_set(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match=r"no data set 'colours'.*--data-root") as caught:
            datasets.load("colours", "train", tmp_path, SPEC)
        assert str(tmp_path / "colours" / "train") in str(caught.value)
        assert "birds-vs-planes, fashion-mnist, mnist" in str(caught.value)

    def test_no_such_split(self, root: Path, tmp_path: Path) -> None:
        (root / "colors" / "test").rename(root / "colors" / "val")
        with pytest.raises(DatasetError, match=r"there is no folder .*colors.test"):
            datasets.load("colors", "test", root, SPEC)

    @pytest.mark.parametrize("name", ["fashion-mnist", "mnist", "birds-vs-planes"])
    def test_a_download_that_fails_tells_where_to_put_the_files(
        self, name: str, tmp_path: Path
    ) -> None:
        (tmp_path / "root").write_text("a file, in which nothing can be saved")
        with pytest.raises(DatasetError, match=f"{name} is not under .*--data-root"):
            datasets.load(name, "train", tmp_path / "root", GREY)

    @pytest.mark.parametrize(
        ("name", "folder"), [("fashion-mnist", "FashionMNIST"), ("mnist", "MNIST")]
    )
    @pytest.mark.parametrize(("split", "prefix"), [("train", "train"), ("test", "t10k")])
    def test_files_of_mnists_kind(
        self, name: str, folder: str, split: Split, prefix: str, tmp_path: Path
    ) -> None:
        raw = tmp_path / folder / "raw"
        raw.mkdir(parents=True)
        pixels = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
        for each in ("train", "t10k"):  # torchvision asks for all four
            (raw / f"{each}-images-idx3-ubyte").write_bytes(
                struct.pack(">4I", 0x0803, 3, 28, 28)
                + (pixels if each == prefix else 0 * pixels).tobytes()
            )
            (raw / f"{each}-labels-idx1-ubyte").write_bytes(
                struct.pack(">2I", 0x0801, 3) + (bytes([7, 2, 1]) if each == prefix else bytes(3))
            )
        images = datasets.load(name, split, tmp_path, GREY)
        assert (images.images[:, 0].numpy() == pixels).all()
        assert images.targets.tolist() == [7, 2, 1]
        assert len(images.labels) == 10

    @pytest.mark.parametrize("split", ["train", "test"])
    def test_birds_vs_planes_is_cut_from_cifar10(
        self, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "cifar-10-batches-py"
        folder.mkdir()
        cifar10 = torchvision("datasets").CIFAR10
        pixels = np.random.default_rng(0).integers(0, 256, (6, 3, 32, 32), np.uint8)
        names = ["airplane", "automobile", "bird", "cat"]

        def write(name: str, content: dict[str, object]) -> str:
            """The file's MD5, by which torchvision knows it."""
            (folder / name).write_bytes(pickle.dumps(content))
            return hashlib.md5((folder / name).read_bytes(), usedforsecurity=False).hexdigest()

        batches = [
            [name, write(name, {"data": data.reshape(6, -1), "labels": [2, 1, 0, 3, 0, 2]})]
            for name, data in (("data_batch_1", pixels), ("test_batch", 255 - pixels))
        ]
        meta = {
            "filename": "meta",
            "key": "label_names",
            "md5": write("meta", {"label_names": names}),
        }
        monkeypatch.setattr(cifar10, "train_list", batches[:1])
        monkeypatch.setattr(cifar10, "test_list", batches[1:])
        monkeypatch.setattr(cifar10, "meta", meta)
        images = datasets.load(
            "birds-vs-planes", split, tmp_path, InputSpec(channels=3, height=32, width=32)
        )
        assert images.labels == ("airplane", "bird")
        assert images.targets.tolist() == [0, 0, 1, 1]  # as in an image folder
        expected = pixels if split == "train" else 255 - pixels
        assert (images.images.numpy() == expected[[2, 4, 0, 5]]).all()

    @pytest.mark.data
    @pytest.mark.parametrize(("split", "count"), [("train", 5000), ("test", 1000)])
    def test_birds_vs_planes(self, data_root: Path, split: Split, count: int) -> None:
        spec = InputSpec(channels=3, height=32, width=32)
        images = datasets.load("birds-vs-planes", split, data_root, spec)
        assert images.images.shape == (2 * count, 3, 32, 32)
        assert images.labels == ("airplane", "bird")
        assert torch.bincount(images.targets).tolist() == [count, count]

    @pytest.mark.data
    @pytest.mark.parametrize(("split", "count"), [("train", 60_000), ("test", 10_000)])
    def test_fashion_mnist(self, data_root: Path, split: Split, count: int) -> None:
        images = datasets.load("fashion-mnist", split, data_root, GREY)
        assert images.images.shape == (count, 1, 28, 28)
        assert images.labels == (
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        )
        assert torch.bincount(images.targets).tolist() == [count // 10] * 10

    @pytest.mark.data
    def test_fashion_mnist_has_the_pixels_of_its_file(self, data_root: Path) -> None:
        raw = data_root / "FashionMNIST" / "raw"
        pixels = np.fromfile(raw / "t10k-images-idx3-ubyte", np.uint8, offset=16)
        labels = np.fromfile(raw / "t10k-labels-idx1-ubyte", np.uint8, offset=8)
        images = datasets.load("fashion-mnist", "test", data_root, GREY)
        assert (images.images[:, 0].numpy() == pixels.reshape(-1, 28, 28)).all()
        assert (images.targets.numpy() == labels).all()

    @pytest.mark.data
    @pytest.mark.parametrize(("split", "count"), [("train", 60_000), ("test", 10_000)])
    def test_mnist(self, data_root: Path, split: Split, count: int) -> None:
        images = datasets.load("mnist", split, data_root, GREY)
        assert images.images.shape == (count, 1, 28, 28)
        assert images.labels == tuple("0123456789")
        first = [5, 0, 4, 1, 9] if split == "train" else [7, 2, 1, 0, 4]
        assert images.targets[:5].tolist() == first


class TestHoldOut:
    def test_both_parts_together_are_the_whole(self) -> None:
        rest, held_out = numbered(40, classes=4).hold_out(0.25, seeded(0))
        assert sorted(numbers(rest) + numbers(held_out)) == list(range(40))

    def test_every_class_gives_the_same_fraction(self) -> None:
        images = numbered(60, classes=3)
        uneven = images.subset((numbered(60, classes=3).targets != 2).nonzero().flatten()[:30])
        for whole in (images, uneven):
            rest, held_out = whole.hold_out(0.2, seeded(0))
            counts = torch.bincount(whole.targets, minlength=3)
            assert torch.equal(torch.bincount(held_out.targets, minlength=3), counts // 5)
            assert torch.equal(torch.bincount(rest.targets, minlength=3), counts - counts // 5)

    def test_targets_stay_with_their_pictures(self) -> None:
        for part in numbered(40, classes=4).hold_out(0.25, seeded(0)):
            assert part.targets.tolist() == [number % 4 for number in numbers(part)]
            assert part.labels == ("a", "b", "c", "d")

    def test_the_seed_decides(self) -> None:
        parts = [numbered(40).hold_out(0.25, seeded(seed))[1] for seed in (1, 1, 2)]
        assert numbers(parts[0]) == numbers(parts[1]) != numbers(parts[2])

    def test_no_fraction_holds_out_nothing(self) -> None:
        rest, held_out = numbered(10).hold_out(0, seeded(0))
        assert (numbers(rest), len(held_out)) == (list(range(10)), 0)


class TestRelabel:
    def test_targets_follow_the_order_of_the_labels(self) -> None:
        images = numbered(6, classes=3).relabel(("c", "b", "x", "a"))
        assert images.labels == ("c", "b", "x", "a")
        assert images.targets.tolist() == [3, 1, 0, 3, 1, 0]
        assert numbers(images) == list(range(6))

    def test_the_same_labels_change_nothing(self) -> None:
        images = numbered(6, classes=3)
        assert equal(images.relabel(images.labels), images)

    def test_unknown_labels_are_refused(self) -> None:
        with pytest.raises(DatasetError, match=r"has the labels b, c, .* it has a, d"):
            numbered(6, classes=3).relabel(("a", "d"))


@pytest.mark.gpu
def test_a_set_moves_to_a_device() -> None:
    moved = numbered(4).to(torch.device("cuda"))
    assert moved.images.is_cuda
    assert moved.targets.is_cuda
