"""Files that appear whole: written beside their place, then renamed to it.

    draft in the same folder → fsync → rename → fsync of the folder

Whoever reads meanwhile, and whoever reads after a power cut, finds the old content or the new one.
Each writer has a draft of its own, so that of two writers the last one wins.
"""

import json
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from models.errors import damaged

DRAFT = ".draft-"
"""What the names of drafts begin with; 32 hexadecimal digits follow. A killed writer leaves one."""


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object that a file holds; raises `OSError` or `DamagedFileError`."""
    try:
        content = json.loads(path.read_bytes())
    except (RecursionError, ValueError) as error:  # not UTF-8, not JSON
        raise damaged(path, f"is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise damaged(path, f"must hold a JSON object, not a {type(content).__name__}")
    return content


def write_json(path: Path, content: Any) -> None:
    """Write or replace a file by JSON that people can read."""
    write(path, json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n")


def write(path: Path, content: bytes) -> None:
    """Write or replace a file; raises `OSError` with its path."""
    with writing(path) as file:
        file.write(content)


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """The draft of a file, which takes its place when the `with` block ends without an error.

    After an error the draft is gone. A symbolic link stays and its target is replaced, with the
    permissions that it had. What is no regular file, such as a pipe or /dev/stdout, is written
    directly. An `OSError` has the file's path.
    """
    path = path.resolve()
    if path.exists() and not path.is_file() and not path.is_dir():
        with path.open("wb") as file:
            yield file
        return
    draft = draft_in(path.parent)
    try:
        with draft.open("xb") as file:
            yield file
            file.flush()
            if path.exists():
                os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
            os.fsync(file.fileno())
        draft.replace(path)
        flush_folder(path.parent)
    except Exception as error:
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError) or cause.errno is None:  # torch.save hides that of a disk
            raise
        if str(cause.filename or draft) != str(draft):
            raise
        raise OSError(cause.errno, cause.strerror, str(path)) from error
    finally:
        with suppress(OSError):
            draft.unlink()


def draft_in(folder: Path) -> Path:
    """A new name for a draft in that folder, which no other writer has."""
    return folder / f"{DRAFT}{uuid.uuid4().hex}"


def flush_folder(folder: Path) -> None:
    """Make the names in a folder outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
