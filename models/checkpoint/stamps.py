"""Files of a version: opened beneath the repository, and compared later by their stamps."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path

from models import files
from models.checkpoint.errors import CheckpointError
from models.checkpoint.place import Place, placed


@dataclass(frozen=True)
class FileStamp:
    """The identity of a file that was read: its SHA-256, and the status, compared first."""

    sha256: str
    device: int
    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, file: BufferedReader, sha256: str) -> "FileStamp":
        status = os.fstat(file.fileno())
        return cls(sha256, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@contextmanager
def opened(version: Path | Place, name: str) -> Iterator[BufferedReader]:
    """Open a file of a version's folder; raise `CheckpointError` if unreadable or unsafe."""
    place = placed(version)
    try:
        with files.open_beneath(place.root, *place.parts, name) as file:
            yield file
    except OSError as error:
        raise CheckpointError(f"{name} can't be read: {error.strerror}") from error
    except files.UnsafeFileError as error:
        raise CheckpointError(str(error)) from error


def changes(
    version: Path | Place, stamps: Mapping[str, FileStamp]
) -> tuple[str | None, Mapping[str, FileStamp]]:
    """Compare a version's files with their stamps; return the difference, or None, and new stamps.

    A file is read only if its status has changed. Raises `OSError` if a file can't be read.
    """
    place, current = placed(version), dict(stamps)
    for name, before in stamps.items():
        try:
            with files.open_beneath(place.root, *place.parts, name) as file:
                now = FileStamp.of(file, before.sha256)
                if now != before:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                    if digest != before.sha256:
                        return f"{name} is not the one that was loaded", current
                    current[name] = replace(now, sha256=digest)
        except FileNotFoundError:
            place.folder.stat()  # if it is gone as a whole, that says nothing about the file
            return f"{name} was removed", current
        except files.UnsafeFileError as error:
            return str(error), current
    return None, current
