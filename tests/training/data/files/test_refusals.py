"""What is said of files and folders that are no data set."""

import gzip
import shutil
import zipfile
from pathlib import Path

import pytest

from models.preprocessing import InputSpec
from tests.networks import encode, picture
from tests.training.pictures import write_colors
from training.data import datasets
from training.data.files import refusals
from training.data.files.layout import DatasetError

SPEC = InputSpec(channels=3, height=8, width=8)
FILES = {
    "zero.zip": (b"", "zero.zip is empty .0 bytes.: download it again"),
    "a.rar": (b"Rar!\x1a\x07", "a.rar is a RAR archive, which is not read: unpack it first"),
    "a.7z": (b"7z\xbc\xaf\x27\x1c", "a.7z is a 7z archive, which is not read: unpack it first"),
    "a.tar.zst": (b"\x28\xb5\x2f\xfd", "compressed with Zstandard, .* unpack it first"),
    "cut.zip": (b"PK\x03\x04" + bytes(90), "begins as a zip .* cut off or damaged: download it"),
    "cut.tar.gz": (gzip.compress(bytes(900))[:15], "begins as a gzip .* download it again"),
    "web.zip": (b"<!DOCTYPE html>", "web.zip is a web page, not an archive"),
    "junk.zip": (b"abc", "junk.zip is no archive"),
    "one.png": (encode(picture(0)), "one picture, and one picture is no data set"),
    "a.json": (b"{}", "a.json is no data set: give a folder of pictures, a zip or tar"),
}


@pytest.mark.parametrize("name", FILES)
def test_files(tmp_path: Path, name: str) -> None:
    content, message = FILES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        datasets.load(str(tmp_path / name), "train", tmp_path, SPEC)


def pack(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return path


ARCHIVES = {
    "empty": ({}, "a.zip is empty"),
    "an archive": ({"b.zip": b"{zip}"}, "no folders of pictures, and the archive b.zip: unpack"),
    "an archive in a folder": ({"b/c.zip": b"{zip}"}, "the archive b/c.zip: unpack it"),
    "a picture": ({"a.png": b"\x89PNG"}, "a.zip has one picture, and no folders"),
    "a table": ({"[Content_Types].xml": b"", "xl/a.xml": b""}, "of an Office: save .* as a CSV"),
    "texts": ({"a.txt": b"a"}, "no folders with pictures in it; its files are .txt .1."),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_archives_without_pictures(tmp_path: Path, kind: str) -> None:
    files, message = ARCHIVES[kind]
    inner = pack(tmp_path / "b.zip", **{"cat/a.png": b""}).read_bytes()
    files = {name: inner if content == b"{zip}" else content for name, content in files.items()}
    archive = pack(tmp_path / "a.zip", **files)
    with pytest.raises(DatasetError, match=message):
        datasets.load(str(archive), "train", tmp_path / "root", SPEC)


def test_an_archive_of_a_folder_is_taken(tmp_path: Path) -> None:
    classes = write_colors(tmp_path / "c", pictures=2) / "train"
    classes.rename(tmp_path / "pets")
    archive = shutil.make_archive(str(tmp_path / "packed"), "tar", tmp_path, "pets")
    found = datasets.load(archive, "train", tmp_path / "root", SPEC)
    assert found.labels == ("blue", "green", "red")
    assert found.notes[0].endswith("has one folder, pets: what is in there is taken")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train/1.png", "train/2.png", "test/3.png"], "one for each class there in test, train"),
        (["A_1.png", "A_2.png", "B_1.png", "B_2.png", "B_3.png"], r"begin with B \(3\), A \(2\)"),
        (["train/1.png", "data.yaml"], "a data set for detection"),
        (["pets.tar.gz"], r"the archive .*pets.tar.gz: give the archive itself"),
        (["raw/labels.gz"], "no folders with pictures in it; its files are .gz .1."),
        ([".hidden.png"], "is empty: make one folder for each class"),
    ],
)
def test_folders(tmp_path: Path, names: list[str], message: str) -> None:
    folder = tmp_path / "pets"
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    if names == ["pets.tar.gz"]:
        shutil.make_archive(str(folder / "pets"), "gztar", write_colors(tmp_path / "c", pictures=1))
    with pytest.raises(DatasetError, match=message):
        datasets.load("pets", "train", tmp_path, SPEC)


def test_the_table_beside_the_pictures_is_named(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    for number in range(3):
        (tmp_path / "train" / f"{number}.png").write_bytes(b"")
    (tmp_path / "sample_submission.csv").write_text("id,label\n0,cat\n")
    (tmp_path / "train.csv").write_text("id,label\n0,cat\n1,dog\n")
    (tmp_path / "notes.csv").write_text("a,b\n0,cat\n")
    said = refusals.of_folder(tmp_path, str(tmp_path))
    assert f"the table train.csv: give the table, {tmp_path / 'train.csv'}" in said
