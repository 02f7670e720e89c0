"""Pixels in a file behave as those in memory, and nothing of the file is left."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.networks import SPEC
from tests.training.pictures import colors
from training.data import datasets, storage
from training.data.datasets import DatasetError
from training.data.storage import FilePixels, Pixels, Storage
from training.profiling import memory

IMAGES = colors().in_memory


def stored(folder: Path, images: Tensor = IMAGES) -> FilePixels:
    pixels, _ = Storage(folder, stream=True).keep(images, "colors")
    assert isinstance(pixels, FilePixels)
    return pixels


def same(pixels: Pixels, expected: Tensor) -> bool:
    return pixels.shape == expected.shape and torch.equal(storage.in_memory(pixels), expected)


class TestFilePixels:
    def test_indexing_reads_what_a_tensor_has(self, tmp_path: Path) -> None:
        pixels = stored(tmp_path)
        order = torch.randperm(len(IMAGES), generator=torch.Generator().manual_seed(0))
        assert len(pixels) == len(IMAGES)
        assert torch.equal(pixels[order], IMAGES[order])
        assert torch.equal(pixels[[3, 3, -1]], IMAGES[[3, 3, -1]])
        assert torch.equal(pixels[::5], IMAGES[::5])
        assert torch.equal(pixels[4], IMAGES[4])
        assert torch.equal(pixels[-1], IMAGES[-1])

    def test_an_index_beyond_the_pictures_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(IndexError):
            stored(tmp_path)[len(IMAGES)]

    @pytest.mark.parametrize("count", [1, 7, 24, 100])
    def test_it_is_split_as_a_tensor_is(self, tmp_path: Path, count: int) -> None:
        parts, expected = list(stored(tmp_path).split(count)), IMAGES.split(count)
        assert len(parts) == len(expected)
        assert all(map(torch.equal, parts, expected))

    def test_an_empty_one_has_one_empty_batch_as_a_tensor_has(self, tmp_path: Path) -> None:
        (batch,) = storage.some(stored(tmp_path), []).split(4)
        assert batch.shape == IMAGES[:0].split(4)[0].shape

    def test_parts_are_taken_by_numbers_and_by_truth_values(self, tmp_path: Path) -> None:
        pixels, is_odd = stored(tmp_path), torch.arange(len(IMAGES)) % 2 == 1
        assert same(storage.some(pixels, is_odd), IMAGES[is_odd])
        assert same(storage.some(storage.some(pixels, is_odd), [2]), IMAGES[[5]])

    def test_it_is_mirrored_as_a_tensor_is(self, tmp_path: Path) -> None:
        pixels = storage.mirrored(stored(tmp_path))
        assert same(pixels, IMAGES.flip(-1))
        assert same(storage.mirrored(pixels), IMAGES)

    def test_several_are_joined_with_those_in_memory(self, tmp_path: Path) -> None:
        pixels = stored(tmp_path)
        parts: Sequence[Pixels] = [IMAGES[:2], storage.some(pixels, [5]), IMAGES[7:9]]
        joined = storage.joined(parts)
        assert isinstance(joined, FilePixels)
        assert same(joined, IMAGES[[0, 1, 5, 7, 8]])

    def test_pictures_of_two_files_are_not_joined(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="several files"):
            storage.joined([stored(tmp_path), stored(tmp_path)])

    def test_a_file_that_was_cut_off_is_an_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pixels = stored(tmp_path)
        monkeypatch.setattr(os, "preadv", lambda *_: 0)  # as at the end of a file
        with pytest.raises(OSError, match="shorter than it was"):
            pixels[0]


class TestStorage:
    def test_without_a_choice_the_size_decides(self, tmp_path: Path) -> None:
        size = IMAGES.numel()
        enough, small = Storage(tmp_path, allowed=size), Storage(tmp_path, allowed=size - 1)
        assert isinstance(enough.keep(IMAGES, "colors")[0], Tensor)
        assert isinstance(small.keep(IMAGES, "colors")[0], FilePixels)

    def test_all_sets_together_may_take_so_much(self, tmp_path: Path) -> None:
        place = Storage(tmp_path, allowed=IMAGES.numel())
        assert isinstance(place.keep(IMAGES, "train")[0], Tensor)
        assert isinstance(place.keep(IMAGES[:1], "test")[0], FilePixels)

    def test_what_is_read_after_that_is_in_the_file_too(self, tmp_path: Path) -> None:
        place = Storage(tmp_path, allowed=IMAGES.numel() - 1)
        assert isinstance(place.keep(IMAGES, "train")[0], FilePixels)
        assert isinstance(place.keep(IMAGES[:1], "test")[0], FilePixels)

    def test_the_user_may_choose(self, tmp_path: Path) -> None:
        memory, file = Storage(tmp_path, False), Storage(tmp_path, True, 10**9)
        assert isinstance(memory.keep(IMAGES, "colors")[0], Tensor)
        assert isinstance(file.keep(IMAGES, "colors")[0], FilePixels)

    def test_it_is_told(self, tmp_path: Path) -> None:
        _, (note,) = Storage(tmp_path).keep(IMAGES, "colors (train)")
        assert note == (
            f"colors (train): 24 pictures take 4.61 kB decoded, and are read from a file in "
            f"{tmp_path} while it trains (at most 0 bytes of pixels are kept in memory; "
            "--no-stream keeps them there all the same)"
        )

    def test_no_file_is_seen_in_the_folder(self, tmp_path: Path) -> None:
        pixels = stored(tmp_path / "runs")
        assert same(pixels, IMAGES)
        assert not list((tmp_path / "runs").iterdir())

    def test_a_full_disk_is_told_before_anything_is_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=100))
        with pytest.raises(DatasetError, match=r"take 4.61 kB, and .* has room for 100 bytes"):
            stored(tmp_path)

    def test_a_disk_that_gets_full_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        draft = Storage(tmp_path).draft(1, SPEC.shape, "colors")
        monkeypatch.setattr(os, "pwrite", _full)
        with pytest.raises(DatasetError, match=r"can't be written: No space left .* --runs"):
            draft.add(IMAGES[0].numpy())

    def test_a_place_that_is_no_folder_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(DatasetError, match="can't be written"):
            stored(tmp_path / "file")

    def test_parts_of_a_write_are_finished(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write, read = os.pwrite, os.preadv
        monkeypatch.setattr(os, "pwrite", lambda f, data, at: write(f, data[:50], at))
        monkeypatch.setattr(os, "preadv", lambda f, into, at: read(f, [into[0][:30]], at))
        assert same(stored(tmp_path), IMAGES)


def _full(*_: object) -> int:
    raise OSError(28, "No space left on device")


def test_a_folder_is_read_as_into_memory(tmp_path: Path, colors_folder: Path) -> None:
    name, root = str(colors_folder), tmp_path
    plain = datasets.load_all(name, root, SPEC)
    found = datasets.load_all(name, root, SPEC, place=Storage(tmp_path, stream=True))
    for split, images in found.items():
        assert isinstance(images.images, FilePixels)
        assert torch.equal(images.in_memory, plain[split].in_memory)
        assert torch.equal(images.targets, plain[split].targets)
        assert images.origins == plain[split].origins
        assert images.left_out == plain[split].left_out


def test_large_pictures_are_written_whole(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 3, 300, 200), dtype=np.uint8)
    assert same(stored(tmp_path, torch.from_numpy(noise)), torch.from_numpy(noise))


@pytest.mark.skipif(not memory.CLEAR_REFS.exists(), reason="only Linux measures the peak memory")
def test_memory_stays_flat_while_pictures_are_written_and_read(tmp_path: Path) -> None:
    count, shape = 400, (3, 128, 128)  # 20 MB
    picture = np.zeros(shape, np.uint8)

    def read(pixels: Pixels) -> None:
        order = torch.randperm(count)
        for batch in order.split(50):
            assert len(storage.some(pixels, order)[batch]) == len(batch)

    for stream, is_flat in ((True, True), (False, False)):
        with memory.peak(torch.device("cpu")) as peak:
            draft = Storage(tmp_path, stream).draft(count, shape, "black")
            for _ in range(count):
                draft.add(picture.copy())
            read(draft.pixels())
        assert peak.bytes is not None
        assert (peak.bytes < 8 * 2**20) == is_flat
