"""Data sets: folders of pictures, or files that torchvision knows, as pixels and targets."""

import hashlib
import pickle
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from models.preprocessing import FramingRule, InputSpec
from models.torchvision_import import torchvision
from tests.networks import LABELS, SPEC
from tests.training.pictures import colors, numbered, numbers, write_colors
from training.data import datasets, drawing
from training.data.datasets import DatasetError, ImageSet, Origin
from training.data.files import sources
from training.data.files.splits import Split
from training.data.registry import DATASETS
from training.data.sets import xo
from training.data.sets.grounds import inverted, white_ground

GREY = InputSpec(channels=1, height=28, width=28)
SPLITS: tuple[Split, Split] = ("train", "test")


def write_mnist(raw: Path, prefix: str) -> NDArray[np.uint8]:
    """Files in MNIST's form, of three pictures that are black but for those of the prefix, which
    are returned: (3, 28, 28)."""
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
    return pixels


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def equal(one: ImageSet, other: ImageSet) -> bool:
    return (
        torch.equal(one.in_memory, other.in_memory)
        and torch.equal(one.targets, other.targets)
        and one.labels == other.labels
    )


class TestJoined:
    def test_pictures_of_all_come_one_set_after_the_other(self, root: Path) -> None:
        write_colors(root / "more", pictures=2)
        images = datasets.load("colors + more", "train", root, SPEC)
        assert torch.equal(images.in_memory, torch.cat([colors(4).in_memory, colors(2).in_memory]))
        assert torch.equal(images.targets, torch.cat([colors(4).targets, colors(2).targets]))
        assert images.labels == LABELS

    def test_labels_are_those_of_the_first(self, root: Path) -> None:
        write_colors(root / "more", pictures=2)
        shutil.rmtree(root / "more" / "train" / "green")
        images = datasets.load("colors + more", "train", root, SPEC)
        assert torch.bincount(images.targets).tolist() == [6, 4, 6]
        with pytest.raises(DatasetError, match=r"classes that .*more/train has not: green"):
            datasets.load("more + colors", "train", root, SPEC)

    def test_broken_files_of_all_are_named(self, root: Path) -> None:
        write_colors(root / "more", pictures=2)
        broken = [root / name / "train" / "red" / "1.png" for name in ("colors", "more")]
        for path in broken:
            path.write_bytes(b"no picture")
        left_out = datasets.load("colors + more", "train", root, SPEC).left_out
        assert [path for path, _ in left_out] == broken

    def test_a_plus_in_a_name_joins_nothing(self, root: Path) -> None:
        (root / "colors").rename(root / "c++")
        assert sources.parts("c++") == ["c++"]
        assert equal(datasets.load("c++", "train", root, SPEC), colors(4))

    @pytest.mark.parametrize("name", ["colors + ", " + colors", ""])
    def test_a_name_that_is_missing(self, root: Path, name: str) -> None:
        with pytest.raises(DatasetError, match="no data set ''"):
            datasets.load(name, "train", root, SPEC)


class TestDrawn:
    """Crosses and circles are drawn where nobody has them."""

    @pytest.mark.parametrize(("name", "kind"), [("xo", "original"), ("xo-by-hand", "by-hand")])
    def test_they_are_drawn(
        self, name: str, kind: xo.Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(xo.TRAIN, kind, (6, 1))
        monkeypatch.setitem(xo.TEST, kind, (4, 2))
        spec = InputSpec(channels=1, height=116, width=116)
        train, test = (datasets.load(name, split, tmp_path, spec) for split in SPLITS)
        for images, count, seed in ((train, 6, 1), (test, 4, 2)):
            pictures, targets = drawing.draw(kind, count, seed)
            assert torch.equal(images.in_memory, torch.stack([spec.pixels(p) for p in pictures]))
            assert images.targets.tolist() == targets
            assert images.labels == ("circles", "crosses")

    def test_there_are_as_many_as_in_the_original(self) -> None:
        assert xo.TRAIN["original"][0] == 1700
        assert xo.TEST["original"][0] == 300

    def test_training_and_test_pictures_are_others(self) -> None:
        for kind, (_, seed) in xo.TRAIN.items():
            assert xo.TEST[kind][1] != seed

    def test_a_folder_of_the_name_goes_first(self, tmp_path: Path) -> None:
        write_colors(tmp_path / "xo", pictures=2)
        assert equal(datasets.load("xo", "train", tmp_path, SPEC), colors(2))


class TestLoad:
    def test_no_such_data_set(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match=r"no data set 'colours'.*--data-root") as caught:
            datasets.load("colours", "train", tmp_path, SPEC)
        assert str(tmp_path / "colours") in str(caught.value)
        assert ", ".join(DATASETS.names()) in str(caught.value)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["fashion-mnist", "mnist", "birds-vs-planes"])
    def test_a_download_that_fails_tells_where_to_put_the_files(
        self, name: str, tmp_path: Path
    ) -> None:
        (tmp_path / "root").write_text("a file, in which nothing can be saved")
        with pytest.raises(DatasetError, match=f"{name} is not under .*--data-root"):
            datasets.load(name, "train", tmp_path / "root", GREY)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("name", "folder"), [("fashion-mnist", "FashionMNIST"), ("mnist", "MNIST")]
    )
    @pytest.mark.parametrize(("split", "prefix"), [("train", "train"), ("test", "t10k")])
    def test_files_of_mnists_kind(
        self, name: str, folder: str, split: Split, prefix: str, tmp_path: Path
    ) -> None:
        pixels = write_mnist(tmp_path / folder / "raw", prefix)
        images = datasets.load(name, split, tmp_path, GREY)
        assert (images.in_memory[:, 0].numpy() == pixels).all()
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
        assert (images.in_memory.numpy() == expected[[2, 4, 0, 5]]).all()

    @pytest.mark.slow
    @pytest.mark.data
    @pytest.mark.parametrize(("split", "count"), [("train", 5000), ("test", 1000)])
    def test_birds_vs_planes(self, data_root: Path, split: Split, count: int) -> None:
        spec = InputSpec(channels=3, height=32, width=32)
        images = datasets.load("birds-vs-planes", split, data_root, spec)
        assert images.images.shape == (2 * count, 3, 32, 32)
        assert images.labels == ("airplane", "bird")
        assert torch.bincount(images.targets).tolist() == [count, count]

    @pytest.mark.slow
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

    @pytest.mark.slow
    @pytest.mark.data
    def test_fashion_mnist_has_the_pixels_of_its_file(self, data_root: Path) -> None:
        raw = data_root / "FashionMNIST" / "raw"
        pixels = np.fromfile(raw / "t10k-images-idx3-ubyte", np.uint8, offset=16)
        labels = np.fromfile(raw / "t10k-labels-idx1-ubyte", np.uint8, offset=8)
        images = datasets.load("fashion-mnist", "test", data_root, GREY)
        assert (images.in_memory[:, 0].numpy() == pixels.reshape(-1, 28, 28)).all()
        assert (images.targets.numpy() == labels).all()

    @pytest.mark.slow
    @pytest.mark.data
    @pytest.mark.parametrize(("split", "count"), [("train", 60_000), ("test", 10_000)])
    def test_mnist(self, data_root: Path, split: Split, count: int) -> None:
        images = datasets.load("mnist", split, data_root, GREY)
        assert images.images.shape == (count, 1, 28, 28)
        assert images.labels == tuple("0123456789")
        first = [5, 0, 4, 1, 9] if split == "train" else [7, 2, 1, 0, 4]
        assert images.targets[:5].tolist() == first


class TestInverted:
    @pytest.mark.parametrize(
        ("name", "folder"), [("fashion-mnist", "FashionMNIST"), ("mnist", "MNIST")]
    )
    @pytest.mark.parametrize(("split", "prefix"), [("train", "train"), ("test", "t10k")])
    def test_pixels_are_inverted_and_labels_are_not(
        self, name: str, folder: str, split: Split, prefix: str, tmp_path: Path
    ) -> None:
        pixels = write_mnist(tmp_path / folder / "raw", prefix)
        plain = datasets.load(name, split, tmp_path, GREY)
        images = datasets.load(f"{name}-inverted", split, tmp_path, GREY)
        assert (images.in_memory[:, 0].numpy() == 255 - pixels).all()
        assert torch.equal(images.targets, plain.targets)
        assert images.labels == plain.labels
        assert torch.equal(images.versions(), plain.versions())

    def test_a_framing_rule_sees_the_white_ground(self, tmp_path: Path) -> None:
        """As it does where somebody sends the inverted file to a service."""
        write_mnist(tmp_path / "MNIST" / "raw", "none")  # black pictures
        framing = FramingRule(subject="strokes", fill=0.7)
        spec = InputSpec(channels=1, height=28, width=28, framing=framing)
        images = datasets.load("mnist-inverted", "train", tmp_path, spec)
        white = Image.new("L", (28, 28), 255)
        assert torch.equal(images.in_memory, torch.stack([spec.pixels(white)] * 3))

    def test_both_versions_of_a_picture_are_held_out(self, tmp_path: Path) -> None:
        write_mnist(tmp_path / "MNIST" / "raw", "train")
        both = datasets.load("mnist + mnist-inverted", "train", tmp_path, GREY)
        assert both.versions().tolist() == [0, 1, 2, 0, 1, 2]
        both = replace(both, targets=torch.zeros(6).long())
        for seed in range(5):
            _, held_out = both.hold_out(1 / 3, seeded(seed))
            assert torch.equal(held_out.images[0], 255 - held_out.images[1])

    @pytest.mark.slow
    def test_colour_pictures_have_all_channels_inverted(self, tmp_path: Path) -> None:
        entry = inverted(DATASETS.get("patterns"), "Patterns, inverted.")
        spec = InputSpec(channels=3, height=64, width=64)
        images = entry.load(False, tmp_path, spec)
        plain = DATASETS.get("patterns").load(False, tmp_path, spec)
        assert torch.equal(images.in_memory, 255 - plain.in_memory)
        assert entry.name == "patterns-inverted"

    def test_on_white_the_ground_alone_is_white(self) -> None:
        black, white, grey = 0, 255, 90
        picture = [
            [0, 15, 0, 0, 0, 0],
            [0, 90, 90, 90, 90, 0],
            [0, 90, 0, 0, 90, 0],  # black within the subject
            [0, 90, 90, 90, 0, 90],  # joined to the ground by a corner alone
            [0, 16, 0, 90, 90, 90],
            [0, 0, 0, 90, 0, 0],
        ]
        changed = white_ground(torch.tensor(picture, dtype=torch.uint8).view(1, 1, 6, 6))[0, 0]
        kept = {(2, 2): black, (2, 3): black, (3, 4): black, (4, 1): 16}
        for row, line in enumerate(picture):
            for column, level in enumerate(line):
                expected = kept.get((row, column), grey if level == grey else white)
                assert changed[row, column] == expected, (row, column)

    def test_the_ground_of_every_picture_of_many_is_found(self) -> None:
        images = torch.zeros(5001, 1, 3, 3, dtype=torch.uint8)
        images[:, :, 1, 1] = 200
        changed = white_ground(images)
        assert (changed[:, :, 1, 1] == 200).all()
        assert (changed == 255).sum() == 5001 * 8
        assert (images == 0).sum() == 5001 * 8  # the given ones stay

    def test_the_clothes_keep_their_brightness_on_white(self, tmp_path: Path) -> None:
        pixels = write_mnist(tmp_path / "FashionMNIST" / "raw", "train")
        plain = datasets.load("fashion-mnist", "train", tmp_path, GREY)
        images = datasets.load("fashion-mnist-on-white", "train", tmp_path, GREY)
        assert torch.equal(images.in_memory, white_ground(torch.tensor(pixels)[:, None]))
        assert not torch.equal(images.in_memory, plain.in_memory)
        assert torch.equal(images.targets, plain.targets)


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

    def test_versions_of_a_picture_come_to_the_same_part(self) -> None:
        plain = numbered(40, classes=4)
        names = [Origin(f"plain no. {i}") for i in range(40)]
        inverse = [Origin(f"inverse no. {i}", version_of=f"plain no. {i}") for i in range(40)]
        joined = ImageSet(
            torch.cat([plain.in_memory, plain.in_memory]),
            torch.cat([plain.targets, plain.targets]),
            plain.labels,
            origins=(*names, *inverse),
        )
        rest, held_out = joined.hold_out(0.2, seeded(0))
        assert torch.bincount(held_out.targets).tolist() == [4] * 4
        assert sorted(numbers(held_out)) == sorted(2 * numbers(held_out)[:8])
        assert set(numbers(rest)).isdisjoint(numbers(held_out))

    def test_other_names_do_not_change_the_parts(self) -> None:
        plain = numbered(40, classes=4)
        named = replace(plain, origins=tuple(Origin(f"{i}.png") for i in range(40)))
        parts = [each.hold_out(0.2, seeded(0)) for each in (plain, named)]
        assert [numbers(part) for part in parts[0]] == [numbers(part) for part in parts[1]]

    def test_the_seed_decides(self) -> None:
        parts = [numbered(40).hold_out(0.25, seeded(seed))[1] for seed in (1, 1, 2)]
        assert numbers(parts[0]) == numbers(parts[1]) != numbers(parts[2])

    def test_broken_files_are_still_told(self) -> None:
        images = replace(numbered(4), left_out=((Path("a.png"), "corrupt"),))
        held = images.hold_out(0.5, seeded(0))
        assert [part.left_out for part in held] == [images.left_out] * 2

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


def test_a_mirrored_set_has_left_for_right() -> None:
    images = colors(2)
    assert torch.equal(images.mirrored().in_memory[..., 0], images.in_memory[..., -1])
    assert equal(images.mirrored().mirrored(), images)


@pytest.mark.gpu
def test_a_set_moves_to_a_device() -> None:
    moved = numbered(4).to(torch.device("cuda"))
    assert moved.in_memory.is_cuda
    assert moved.targets.is_cuda
