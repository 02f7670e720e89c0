"""A zip or tar in place of a folder: unpacked once, under the data root, and found again later."""

import hashlib
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path

from rich.markup import escape
from rich.progress import track

from training.data.folders import DatasetError

UNPACKED = "unpacked"  # the folder under the data root


def is_archive(path: Path) -> bool:
    """Told by the bytes; a CSV or an image is none."""
    return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))


def unpacked(archive: Path, root: Path) -> Path:
    """The folder with the content of an archive, which is unpacked unless that was done before.

    Nothing is written outside of it. Raises `DatasetError` for archives that are broken, have a
    password, or are larger than the disk.
    """
    status = archive.stat()
    identity = f"{archive.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
    name = f"{archive.name.partition('.')[0]}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
    folder = root / UNPACKED / name
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as draft:
        into = Path(draft, name)
        try:
            (_unpack_zip if zipfile.is_zipfile(archive) else _unpack_tar)(archive, into)
            into.rename(folder)
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, NotImplementedError) as error:
            raise DatasetError(f"{archive} can't be unpacked: {error}") from error
        except RuntimeError as error:  # a zip with a password
            raise DatasetError(f"{archive} can't be unpacked: {error}; unpack it first") from error
        except OSError:
            if not folder.is_dir():  # by another process meanwhile
                raise
    return folder


def _unpack_zip(archive: Path, into: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        entries = opened.infolist()
        _check_room(archive, sum(entry.file_size for entry in entries), into.parent)
        into.mkdir()
        for entry in track(entries, f"unpacking {escape(str(archive))}", transient=True):
            opened.extract(entry, into)


def _unpack_tar(archive: Path, into: Path) -> None:
    with tarfile.open(archive) as opened:
        entries = opened.getmembers()
        _check_room(archive, sum(entry.size for entry in entries), into.parent)
        into.mkdir()
        for entry in track(entries, f"unpacking {escape(str(archive))}", transient=True):
            opened.extract(entry, into, filter="data")  # nothing outside, no devices


def _check_room(archive: Path, size: int, place: Path) -> None:
    free = shutil.disk_usage(place).free
    if size > free:
        raise DatasetError(
            f"{archive} holds {size:,} bytes, and {place} has room for {free:,}; give another "
            "--data-root"
        )
