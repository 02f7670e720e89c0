"""Weights in several files are joined by their index; a single one says that it is not all."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from models.importing import saved_files
from models.importing.saved_files import SavedFileError

TENSORS = {"a": torch.ones(2), "b": torch.zeros(3), "c": torch.full((1,), 2.0)}
INDEX = "model.safetensors.index.json"


def save(tensors: dict[str, Tensor], path: Path) -> None:
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)


def sharded(folder: Path, suffix: str = "safetensors", stem: str = "model") -> Path:
    """`TENSORS` in two files; their index."""
    names = [f"{stem}-0000{number}-of-00002.{suffix}" for number in (1, 2)]
    save({"b": TENSORS["b"]}, folder / names[0])
    save({"a": TENSORS["a"], "c": TENSORS["c"]}, folder / names[1])
    return index(folder / f"{stem}.{suffix}.index.json", a=names[1], b=names[0], c=names[1])


def index(path: Path, **places: str) -> Path:
    path.write_text(json.dumps({"metadata": {"total_size": 24}, "weight_map": places}))
    return path


@pytest.mark.parametrize(
    ("suffix", "stem"), [("safetensors", "model"), ("bin", "pytorch_model"), ("pth", "net")]
)
def test_the_index_stands_for_all(suffix: str, stem: str, tmp_path: Path) -> None:
    path = sharded(tmp_path, suffix, stem)
    content = saved_files.read(path)
    assert isinstance(content, dict)
    assert content.keys() == TENSORS.keys()
    assert all(torch.equal(content[name], value) for name, value in TENSORS.items())
    assert saved_files.name_of(path) == stem
    assert not saved_files.keeps_order(path)


def test_one_of_several_names_the_index(tmp_path: Path) -> None:
    path = sharded(tmp_path)
    one = tmp_path / "model-00001-of-00002.safetensors"
    with pytest.raises(SavedFileError, match=r"is file 1 of 2: name their index, .*index\.json"):
        saved_files.read(one)
    with pytest.raises(SavedFileError, match=r"is a folder; name the index in it: model\.safe"):
        saved_files.read(tmp_path)
    path.unlink()
    with pytest.raises(SavedFileError, match=r"file 1 of 2, and their index, .* is not beside it"):
        saved_files.read(one)


def test_the_only_one_stands_alone(tmp_path: Path) -> None:
    save(TENSORS, tmp_path / "model-00001-of-00001.safetensors")
    content = saved_files.read(tmp_path / "model-00001-of-00001.safetensors")
    assert isinstance(content, dict)
    assert content.keys() == TENSORS.keys()


def gone(path: Path) -> None:
    path.with_name("model-00002-of-00002.safetensors").unlink()


def broken(path: Path) -> None:
    path.with_name("model-00002-of-00002.safetensors").write_bytes(b"<html>")


def others(path: Path) -> None:
    save({"x": torch.ones(2)}, path.with_name("model-00002-of-00002.safetensors"))


def linked(path: Path) -> None:
    there = path.with_name("model-00002-of-00002.safetensors")
    outside = path.parents[1] / "outside.safetensors"
    there.rename(outside)
    there.symlink_to(outside)


def naming(name: str) -> Callable[[Path], object]:
    return lambda path: index(path, a=name)


def written(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (gone, "names 2 files, and 1 of them are not beside it: 'model-00002-of-00002"),
        (broken, "model-00002-of-00002.safetensors is a web page"),
        (others, "lacks tensors that .*index.json places there: 'a', 'c'; .* get them again"),
        (linked, "is a link to .* outside of .*; put the file itself there"),
        (naming("../outside.bin"), "only files of weights in its own folder are read"),
        (naming("/etc/passwd"), "only files of weights in its own folder are read"),
        (naming(".."), "only files of weights in its own folder are read"),
        (naming(""), "only files of weights in its own folder are read"),
        (naming("a\0b"), "only files of weights in its own folder are read"),
        (naming(INDEX), "only files of weights in its own folder are read"),
        (written("{"), "is no JSON"),
        (written("[" * 100_000), "is no JSON"),
        (written("[]"), "has no weight_map of names to files"),
        (written('{"weight_map": {"a": 1}}'), "has no weight_map of names to files"),
        (written('{"weight_map": {}}'), "has no weight_map of names to files"),
        (
            lambda path: index(path, **{f"w{n}": f"{n}.bin" for n in range(1001)}),
            "names 1,001 files; at most 1,000 are read",
        ),
    ],
)
def test_what_can_not_be_joined(
    change: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = sharded(folder)
    change(path)
    with pytest.raises(SavedFileError, match=message):
        saved_files.read(path)
