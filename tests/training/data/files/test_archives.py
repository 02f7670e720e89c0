"""A zip or tar in place of a folder."""

import io
import os
import shutil
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from models.preprocessing import InputSpec
from tests.training.pictures import write_colors
from training.data import datasets
from training.data.files import archives
from training.data.files.layout import DatasetError
from training.data.files.splits import Split

SPLITS: tuple[Split, ...] = ("train", "test")
SPEC = InputSpec(channels=3, height=8, width=8)


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar", "xztar"])
def test_it_is_read_as_its_folder(tmp_path: Path, kind: str) -> None:
    folder = write_colors(tmp_path / "colors", pictures=3)
    archive = shutil.make_archive(str(tmp_path / "packed"), kind, tmp_path, "colors")
    root = tmp_path / "root"
    root.mkdir()
    for split in SPLITS:
        found = datasets.load(archive, split, root, SPEC)
        expected = datasets.load(str(folder), split, root, SPEC)
        assert found.labels == expected.labels
        assert (found.in_memory == expected.in_memory).all()
    assert len(list((root / archives.UNPACKED).iterdir())) == 1  # once for both


def test_a_changed_archive_is_unpacked_anew(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    folders = []
    for content in ("one", "other"):
        with zipfile.ZipFile(archive, "w") as opened:
            opened.writestr("cat/a.txt", content)
        os.utime(archive, ns=(0, len(content)))
        folders.append(archives.unpacked(archive, tmp_path))
    assert [(folder / "cat" / "a.txt").read_text() for folder in folders] == ["one", "other"]


def test_nothing_is_written_outside(tmp_path: Path) -> None:
    outside = zipfile.ZipFile(tmp_path / "a.zip", "w")
    with outside:
        outside.writestr("../../../outside.txt", "a")
        outside.writestr("/outside.txt", "a")
    archives.unpacked(tmp_path / "a.zip", tmp_path / "root" / "deep")
    found = {path.name: path for path in tmp_path.rglob("outside.txt")}
    assert all(path.is_relative_to(tmp_path / "root") for path in found.values())
    assert found


def tar(path: Path, entry: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as opened:
        opened.addfile(entry, io.BytesIO(bytes(entry.size)))
    return path


def linked(name: str, target: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    return entry


@pytest.mark.parametrize(
    "entry", [tarfile.TarInfo("../outside"), linked("a", "/etc/passwd"), linked("a", "../../b")]
)
def test_a_tar_that_leads_outside_is_refused(tmp_path: Path, entry: tarfile.TarInfo) -> None:
    with pytest.raises(DatasetError, match=r"a.tar can't be unpacked"):
        archives.unpacked(tar(tmp_path / "a.tar", entry), tmp_path / "root")
    assert list((tmp_path / "root" / archives.UNPACKED).iterdir()) == []


def test_more_than_the_disk_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("cat/a.png", bytes(1_000_000))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5_000))
    with pytest.raises(DatasetError, match=r"holds 1,000,000 bytes, and .* has room for 5,000"):
        archives.unpacked(tmp_path / "a.zip", tmp_path)


@pytest.mark.parametrize("damage", ["cut off", "changed"])
@pytest.mark.parametrize("kind", ["gztar", "bztar", "xztar", "tar", "zip"])
def test_one_that_is_damaged(tmp_path: Path, kind: str, damage: str) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "a"), kind, write_colors(tmp_path / "c")))
    content = bytearray(archive.read_bytes())
    middle = len(content) // 2
    if damage == "cut off":
        del content[middle:]
    else:
        content[middle : middle + 200] = bytes(200)
    archive.write_bytes(content)
    if not archives.is_archive(archive):
        return  # it is called no data set, with what would be one
    with suppress(DatasetError):  # a tar has no check sums: some damage is only in its pictures
        archives.unpacked(archive, tmp_path)
        assert (kind, damage) == ("tar", "changed")
