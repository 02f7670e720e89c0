"""Where the pixels of a data set are kept: in memory, or in a file that batches are read from.

    decoded pictures → `Storage.draft` → `Draft.add` → `Draft.pixels`: a tensor, or `FilePixels`

The file has the decoded pixels of one picture after another. It has no name, so that the system
frees its space when the process ends, however that happens. A batch is read from it by as many
reads as it has pictures, and nothing else is kept: what fits into memory is in the system's page
cache, which gives way to whatever needs the memory.
"""

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.available_memory import available
from training.data.files.layout import DatasetError

SHARE = 0.25
"""Part of the memory that pixels may take. A training holds them up to three times: as they were
read, divided into those for training and for validation, and while a head is fitted to both."""
COMPARED = 20 * 2**10
"""About how many bytes a picture takes that is compared with others of a set, whatever its size:
its thumbnail, whitened and turned, with keys (`training/review/copies.py`), or its features."""
_CPU = torch.device("cpu")


def allowed() -> int:
    """Return how many bytes of pixels a training may keep in memory."""
    return int(SHARE * available())


class _File:
    """A file without a name, of pictures uint8 (C, H, W); `allowed` is what memory may hold of
    them, in bytes."""

    def __init__(self, folder: Path, shape: tuple[int, ...], allowed: int) -> None:
        self.shape, self.allowed = shape, allowed
        with tempfile.TemporaryFile(buffering=0, dir=folder) as file:
            self._file = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._file)
        self._size = int(np.prod(shape))
        self._count = 0

    def append(self, picture: NDArray[np.uint8]) -> int:
        """Write a picture behind the others; return its row. Raises `OSError`."""
        row, left = self._count, np.ascontiguousarray(picture).data.cast("B")
        place = row * self._size
        while len(left):
            written = os.pwrite(self._file, left, place)
            left, place = left[written:], place + written
        self._count += 1
        return row

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the pictures (N, C, H, W) of these rows; raises `OSError`."""
        found = np.empty((len(rows), *self.shape), np.uint8)
        for picture, row in zip(found.reshape(len(rows), self._size), rows.tolist(), strict=True):
            left, place = picture.data, row * self._size
            while len(left):
                count = os.preadv(self._file, [left], place)
                if not count:
                    raise OSError("the file of the decoded pictures is shorter than it was")
                left, place = left[count:], place + count
        return found


@dataclass(frozen=True, eq=False)
class FilePixels:
    """Pictures in a file, uint8 (N, C, H, W), which behave as a tensor where pictures are chosen.

    Indexing and `split` read pictures, and return tensors on `device`. `rows` (N,) are the places
    of the pictures in the file.
    """

    file: _File
    rows: NDArray[np.int64]
    device: torch.device = _CPU
    is_mirrored: bool = False

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self.rows), *self.file.shape))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int | slice | Tensor | list[int]) -> Tensor:
        """Read one picture (C, H, W), or some, (N, C, H, W)."""
        if isinstance(index, int):
            return self[[index]][0]
        pictures = torch.from_numpy(self.file.read(self.rows[_of_numpy(index)]))
        if self.is_mirrored:
            pictures = pictures.flip(-1)
        return pictures.to(self.device)

    def split(self, count: int) -> Iterator[Tensor]:
        """Read all pictures in their order, `count` at a time; an empty batch if there are none."""
        for start in range(0, max(len(self), 1), count):
            yield self[start : start + count]

    def to(self, device: torch.device) -> Self:
        """Return the same pictures, which are read to this device."""
        return replace(self, device=device)

    def mirrored(self) -> Self:
        return replace(self, is_mirrored=not self.is_mirrored)

    def some(self, index: slice | Tensor | list[int]) -> Self:
        """Return some of the pictures; reads nothing."""
        return replace(self, rows=self.rows[_of_numpy(index)])


Pixels: TypeAlias = Tensor | FilePixels


def some(pixels: Pixels, index: slice | Tensor | list[int]) -> Pixels:
    """Return some of the pictures, which stay where they are kept."""
    return pixels.some(index) if isinstance(pixels, FilePixels) else pixels[index]


def in_memory(pixels: Pixels) -> Tensor:
    """Return the pictures as one tensor; reads all of them if they are in a file."""
    return pixels[:] if isinstance(pixels, FilePixels) else pixels


def mirrored(pixels: Pixels) -> Pixels:
    """Return the pictures (N, C, H, W) mirrored left to right."""
    return pixels.mirrored() if isinstance(pixels, FilePixels) else pixels.flip(-1)


def joined(parts: Sequence[Pixels]) -> Pixels:
    """Return the pictures of all parts, one part after another.

    If one of them is in a file, all are: those in memory are written behind the others.
    """
    tensors = [each for each in parts if isinstance(each, Tensor)]
    first = next((each for each in parts if isinstance(each, FilePixels)), None)
    if first is None:
        return torch.cat(tensors)
    rows = []
    for part in parts:
        if isinstance(part, Tensor):
            part = _written(first.file, part)
        if part.file is not first.file or part.is_mirrored != first.is_mirrored:
            raise ValueError("the pictures are in several files, or some are mirrored")
        rows.append(part.rows)
    return replace(first, rows=np.concatenate(rows))


def most_compared(parts: Iterable[Pixels]) -> int | None:
    """Return how many pictures may be compared with each other, so that memory is kept.

    It is None if all are in memory: then comparing them takes little more.
    """
    allowed = [part.file.allowed for part in parts if isinstance(part, FilePixels)]
    return min(allowed) // COMPARED if allowed else None


@dataclass
class Draft:
    """The pictures of one split while they are read; `notes` say where they are kept, and why."""

    file: _File | None
    notes: tuple[str, ...] = ()
    _parts: list[NDArray[np.uint8]] = field(default_factory=list)
    _rows: list[int] = field(default_factory=list)

    def add(self, picture: NDArray[np.uint8]) -> None:
        """Add a picture (C, H, W); raises `DatasetError` if the file can't be written."""
        if self.file is None:
            self._parts.append(picture)
            return
        try:
            self._rows.append(self.file.append(picture))
        except OSError as error:
            raise _unwritten(error) from error

    def pixels(self) -> Pixels:
        """Return all pictures that were added: at least one."""
        if self.file is None:
            return torch.from_numpy(np.array(self._parts))
        return FilePixels(self.file, np.array(self._rows, np.int64))


@dataclass
class Storage:
    """Decides where the pictures of a training are kept.

    `stream` is True for a file in `folder`, False for memory. With None, pictures are kept in
    memory as long as all of them take no more than `allowed` bytes; what is read after that is
    in the file. Without a folder they are always kept in memory.
    """

    folder: Path | None = None
    stream: bool | None = None
    allowed: int = 0
    _kept: int = 0  # bytes of the pictures in memory
    _files: dict[tuple[int, ...], _File] = field(default_factory=dict)

    def draft(self, count: int, shape: tuple[int, ...], name: str) -> Draft:
        """Return a draft for about `count` pictures of this shape, (C, H, W).

        `name` is for people. Raises `DatasetError` if the disk has no room for them.
        """
        if self.folder is None or self.stream is False:
            return Draft(None)
        size = count * int(np.prod(shape))
        has_room = not self._files and self._kept + size <= self.allowed
        if not self.stream and has_room:
            self._kept += size
            return Draft(None)
        reason = "--stream says so"
        if self.stream is None:
            reason = (
                f"at most {_size(self.allowed)} of pixels are kept in memory; --no-stream keeps "
                "them there all the same"
            )
        note = (
            f"{name}: {count:,} pictures take {_size(size)} decoded, and are read from a file in "
            f"{self.folder} while it trains ({reason})"
        )
        return Draft(self._file(size, shape), (note,))

    def keep(self, images: Tensor, name: str) -> tuple[Pixels, tuple[str, ...]]:
        """Put pictures (N, C, H, W) where this storage keeps them: in memory, or in a file.

        Returns them, with sentences about what was decided. Raises `DatasetError` if the disk has
        no room for them. `name` is that of the data set, for the sentences.
        """
        draft = self.draft(len(images), tuple(images.shape[1:]), name)
        if draft.file is None:
            return images, ()
        try:
            return _written(draft.file, images), draft.notes
        except OSError as error:
            raise _unwritten(error) from error

    def _file(self, size: int, shape: tuple[int, ...]) -> _File:
        assert self.folder is not None  # noqa: S101
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.folder).free
            if size > free:
                raise DatasetError(
                    f"the decoded pictures take {_size(size)}, and {self.folder} has room for "
                    f"{_size(free)}: give another --runs, a lower --size, or --no-stream if they "
                    "fit into memory"
                )
            if shape not in self._files:
                self._files[shape] = _File(self.folder, shape, self.allowed)
        except OSError as error:
            raise _unwritten(error) from error
        return self._files[shape]


def _written(file: _File, images: Tensor) -> FilePixels:
    rows = [file.append(picture) for picture in images.cpu().numpy()]
    return FilePixels(file, np.array(rows, np.int64), images.device)


def _of_numpy(index: slice | Tensor | list[int]) -> slice | NDArray[np.int64] | NDArray[np.bool_]:
    if isinstance(index, slice):
        return index
    if isinstance(index, Tensor):
        return index.cpu().numpy()
    return np.array(index, np.int64)


def _unwritten(error: OSError) -> DatasetError:
    return DatasetError(
        f"the file of the decoded pictures can't be written: {error.strerror or error}; give "
        "another --runs, or --no-stream if the pictures fit into memory"
    )


def _size(count: int) -> str:
    """Format a number of bytes: 17.3 GB."""
    for power, unit in enumerate(("bytes", "kB", "MB")):
        if count < 1000 ** (power + 1):
            return f"{count / 1000**power:.3g} {unit}"
    return f"{count / 1000**3:,.1f} GB"
