"""Files and folders of other frameworks are named, with what to do."""

from pathlib import Path

import pytest

from models.importing import saved_files
from models.importing.saved_files import SavedFileError

TABLE = bytes(40) + bytes.fromhex("57fb808b247547db")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.ckpt-1000.index", TABLE),
        ("model.ckpt", TABLE),  # of the first version
        ("model.ckpt-1000.data-00000-of-00001", bytes(40)),
        ("model.ckpt-1000.data-00003-of-00010", b"\x80\x02}"),
        ("model.ckpt-1000.meta", b"\n\x05"),
        ("checkpoint", b'model_checkpoint_path: "model.ckpt-1000"\n'),
    ],
)
def test_parts_of_a_tensorflow_checkpoint(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SavedFileError, match=f"{name} is a part of a TensorFlow .*Export it to ON"):
        saved_files.read(tmp_path / name)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("checkpoint", "a.index", "a.data-00000-of-00001"), "a TensorFlow checkpoint. Export"),
        (("saved_model.pb",), "a TensorFlow SavedModel"),
        ((".metadata", "__0_0.distcp"), "format_utils dcp_to_torch folder weights.pt"),
        (("zero_to_fp32.py", "latest"), "of DeepSpeed. Make one file of it"),
        (("b.pt", "a.pth"), "name a file in it: a.pth, b.pt"),
        (("readme.txt",), "a folder, not a file of weights"),
    ],
)
def test_folders(names: tuple[str, ...], message: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"")
    with pytest.raises(SavedFileError, match=message):
        saved_files.read(folder)


def test_the_beginning_of_the_names_of_a_tensorflow_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "model.ckpt-1000.index").write_bytes(TABLE)
    with pytest.raises(SavedFileError, match="a TensorFlow checkpoint of several files"):
        saved_files.read(tmp_path / "model.ckpt-1000")
