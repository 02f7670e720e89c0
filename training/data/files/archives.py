"""A zip or tar in place of a folder: unpacked once, under the data root, and found again later."""

import hashlib
import lzma
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from training.data.files.layout import DatasetError
from training.data.progress import tracked

UNPACKED = "unpacked"  # the folder under the data root


def is_archive(path: Path) -> bool:
    """Return whether a file is a zip or tar, by its content; False for a damaged one."""
    try:
        return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))
    except BROKEN:  # compressed, and cut off or damaged
        return False
    except OSError:
        return False


def unpacked(archive: Path, root: Path) -> Path:
    """Return the folder with the content of an archive; unpack it if that was not done before.

    Nothing is written outside of the folder. Raises `DatasetError` if the archive is broken, has a
    password, or is larger than the free space on the disk.
    """
    try:
        return made(archive, [archive], root, partial(_unpack, archive))
    except BROKEN as error:
        reason, way = str(error) or "it is cut off", "unpack it yourself, and give the folder"
        if isinstance(error, DAMAGED) and not isinstance(error, tarfile.FilterError):
            way = f"it is cut off or damaged: download it again, or {way}"
        raise DatasetError(f"{archive} can't be unpacked: {reason}; {way}") from error


def made(place: Path, packed: Sequence[Path], root: Path, unpack: Callable[[Path], object]) -> Path:
    """Return the folder under the root that has the content of the files `packed`.

    `unpack` makes and fills it, unless it is there; a folder that is there is whole. `place` is
    what the user named. Raises `DatasetError` for an error of the file system.
    """
    states = [(each.resolve(), each.stat()) for each in packed]
    identity = "\0".join(f"{path}\0{s.st_size}\0{s.st_mtime_ns}" for path, s in states)
    digest = hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()[:12]
    folder = root / UNPACKED / f"{place.resolve().name.partition('.')[0]}-{digest}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as draft:
        into = Path(draft, folder.name)
        try:
            unpack(into)
            into.rename(folder)
        except OSError as error:
            if not folder.is_dir():  # else another process was faster
                reason = error.strerror or str(error)
                raise DatasetError(f"{place} can't be unpacked: {reason}") from error
    return folder


def check_room(place: Path, size: int, folder: Path) -> None:
    """Raise `DatasetError` if the disk of a folder has no room for `size` bytes of `place`."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise DatasetError(
            f"{place} holds {size:,} bytes, and {folder} has room for {free:,}; give another "
            "--data-root"
        )


BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(EOFError, NotImplementedError, RuntimeError, ValueError),
)
"""What zipfile and tarfile raise for archives that they can't read: NotImplementedError for a
compression that zipfile doesn't know, RuntimeError for a password."""
DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)


def _unpack(archive: Path, into: Path) -> None:
    """Unpack a zip or tar into a folder, and write nothing outside of it.

    zipfile guarantees this by itself, tarfile with `filter="data"`.
    """
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            sizes = [(entry, entry.file_size) for entry in opened.infolist()]
            _extract(archive, into, sizes, opened.extract)
    else:
        with tarfile.open(archive) as tar:
            members = [(entry, entry.size) for entry in tar.getmembers()]
            check_end(tar)
            _extract(archive, into, members, partial(tar.extract, filter="data"))


def check_end(tar: tarfile.TarFile) -> None:
    """Raise an error if a tar is damaged: tarfile silently takes a broken entry for the end."""
    assert tar.fileobj is not None  # noqa: S101
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("it is damaged, or cut off")
    while tar.fileobj.read(2**20):  # a compressed file has its check sum at the end
        pass


def _extract(
    archive: Path,
    into: Path,
    entries: Sequence[tuple[Any, int]],
    extract: Callable[[Any, Path], object],
) -> None:
    """Extract the entries, given with their sizes in bytes.

    Raises `DatasetError` if the disk has too little space for them.
    """
    check_room(archive, sum(size for _, size in entries), into.parent)
    into.mkdir()
    for entry, _ in tracked(entries, f"unpacking {archive}"):
        extract(entry, into)
