"""The folder of a run: its manifest, its shards, and a lock, so that one run at a time writes.

    _manifest.json  what the shards belong to: source, model, options; how many there are
    part-000000.…   rows of the first `shard_size` images, and so on

Each file appears whole. A run that finds the manifest of another one writes nothing.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from fanlight.scoring import shards
from fanlight.scoring.shards import Format
from models import files
from models.errors import DamagedFileError, FanlightError

MANIFEST = "_manifest.json"
"""Readers of a folder of Parquet skip a name that begins so."""
LOCK = ".lock"
_FORMAT = 1  # of the manifest


class OtherRunError(FanlightError):
    """The folder holds shards of another source, version or options, or is in use."""


@dataclass(frozen=True)
class Manifest:
    """What all shards of a folder have in common.

    `source`, `model` and `options` are plain JSON objects. `images` is the number of rows.
    """

    source: Mapping[str, Any]
    model: Mapping[str, Any]
    options: Mapping[str, Any]
    images: int
    shard_size: int

    @property
    def shards(self) -> int:
        return -(-self.images // self.shard_size)

    def row_range(self, number: int) -> tuple[int, int]:
        """Return the index of the first row of a shard, and that behind its last."""
        start = number * self.shard_size
        return start, min(start + self.shard_size, self.images)

    def as_json(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "source": dict(self.source),
            "model": dict(self.model),
            "options": dict(self.options),
            "images": self.images,
            "shard_size": self.shard_size,
            "shards": self.shards,
        }


@dataclass(frozen=True)
class Folder:
    """The folder that a run writes to."""

    path: Path
    format: Format

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder, and hold its lock; raise `OtherRunError` if another process does.

        The system releases the lock of a process that dies. Drafts that such a process left are
        deleted.
        """
        files.make_folder(self.path)
        files.check_writable(self.path)
        lock = FileLock(self.path / LOCK, blocking=False)
        try:
            lock.acquire()
        except Timeout as error:
            raise OtherRunError(
                f"{self.path} is being written by another process: wait for its end, or name "
                "another folder as --out"
            ) from error
        try:
            for draft in self.path.glob(f"{files.DRAFT}*"):
                with suppress(OSError):
                    draft.unlink()
            yield
        finally:
            lock.release()

    def missing_shards(self, manifest: Manifest) -> list[int]:
        """Write the manifest, or compare it with the one there; return the missing shards' numbers.

        Raises `OtherRunError` if the folder belongs to another run, or holds other files of these
        names. Shards that are not whole count as missing.
        """
        path = self.path / MANIFEST
        if path.exists():
            _compare(self.path, files.read_object(path), manifest.as_json())
        elif there := sorted(self.path.glob("part-*")):
            raise OtherRunError(
                f"{self.path} has no {MANIFEST}, but {there[0].name}: name an empty folder as --out"
            )
        else:
            files.write_json(path, manifest.as_json())
        return [number for number in range(manifest.shards) if not self._has(number, manifest)]

    def write(self, number: int, content: bytes) -> None:
        """Write a shard as a whole."""
        files.write(self.path / shards.name(number, self.format), content)

    def _has(self, number: int, manifest: Manifest) -> bool:
        path = self.path / shards.name(number, self.format)
        start, stop = manifest.row_range(number)
        try:
            return shards.count(path.read_bytes(), self.format) == stop - start
        except (FileNotFoundError, DamagedFileError):
            return False


def _compare(folder: Path, there: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Raise `OtherRunError` if two manifests differ; it names what differs."""
    before, now = _flat(there), _flat(own)
    different = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if not different:
        return
    shown = "; ".join(
        f"{name} was {_short(before.get(name))} and is {_short(now.get(name))}"
        for name in different[:4]
    )
    more = f"; and {len(different) - 4} more" if len(different) > 4 else ""
    raise OtherRunError(
        f"{folder} has the rows of another run: {shown}{more}. Name another folder as --out, or "
        "delete this one to score anew"
    )


def _flat(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of nested objects by names such as `model.version`."""
    found: dict[str, Any] = {}
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            found |= {f"{name}.{key}": each for key, each in _flat(inner).items()}
        else:
            found[name] = inner
    return found


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 64 else f"{text[:61]}…"
