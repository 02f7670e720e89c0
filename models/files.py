"""Files that appear whole: written beside their place, then renamed to it.

    draft in the same folder → fsync → rename → fsync of the folder

A reader finds the old content or the new one, at any time and also after a power cut. Each writer
has a draft of its own, so that of two writers the last one wins.
"""

import errno
import json
import os
import stat
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, Self

from models.errors import FanlightError, damaged

DRAFT = ".draft-"
"""The prefix of drafts' names, before 32 hexadecimal digits. A killed writer leaves its draft."""
EMPTY_PATH = "the path is empty; give that of a file or folder ('.' is the working folder)"
"""What errors say of an empty path, which would mean the working folder."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MAX_LINKS = 40  # on the way to one file, as Linux allows
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
}


class UnsafeFileError(FanlightError):
    """A name does not stand for a regular file or folder of the place where it was looked for."""


def open_beneath(root: Path, *names: str) -> BufferedReader:
    """Open the regular file `root/names…` for reading, without ever blocking.

    Symbolic links are followed as long as they end below `root`, which may be a link itself, also
    one through /proc into another container. Pipes, devices, sockets and folders are refused
    without being opened. The opened file is checked again, in case it was replaced
    meanwhile. Raises `OSError`, or `UnsafeFileError` with the kind of the file.
    """
    name = names[-1]
    with _Walk(root, name) as walk:
        walk.go(names)
        descriptor = os.open(walk.file, _FILE, dir_fd=walk.folder)
    try:
        _check_regular(os.fstat(descriptor), name)  # it may be another since
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


class _Walk:
    """A walk from an opened folder to a file below it, one name at a time.

    No name is looked up by its whole path, which could be that of another container's file system.
    """

    def __init__(self, root: Path, name: str) -> None:
        self._root, self._name = root, name
        self._top = os.path.realpath(root)
        self._folders = [os.open(root, _FOLDER)]
        self._walked: list[str] = []
        self.file = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for folder in self._folders:
            os.close(folder)

    @property
    def folder(self) -> int:
        """The descriptor of the folder that was reached."""
        return self._folders[-1]

    def go(self, names: Sequence[str]) -> None:
        """Walk along the names; the last one, `file`, is then a regular file of `folder`."""
        left = [part for name in reversed(names) for part in reversed(name.split("/"))]
        links = 0
        while left:
            part = left.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not self._walked:
                    raise self._outside(os.path.dirname(self._top))  # noqa: PTH120 (a text)
                os.close(self._folders.pop())
                self._walked.pop()
                continue
            status = os.stat(part, dir_fd=self.folder, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                links += 1
                if links > _MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self._name)
                left += reversed(self._followed(part))
            elif stat.S_ISDIR(status.st_mode):
                self._folders.append(os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=self.folder))
                self._walked.append(part)
            elif any(left):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), self._name)
            else:
                _check_regular(status, self._name)
                self.file = part
                return
        _check_regular(os.fstat(self.folder), self._name)

    def _followed(self, link: str) -> list[str]:
        """Return the names to walk on with after a link; raise `UnsafeFileError` if it leads out.

        A link that is absolute, or climbs above the root, is followed from the root.
        """
        target = os.readlink(link, dir_fd=self.folder)
        parts = target.split("/")
        if not target.startswith("/") and not self._climbs_out(parts):
            return parts
        real = Path(os.path.realpath(os.path.join(self._top, *self._walked, target)))  # noqa: PTH118 (a target may be absolute)
        if not real.is_relative_to(self._top):
            raise self._outside(str(real))
        while self._walked:
            os.close(self._folders.pop())
            self._walked.pop()
        return list(real.relative_to(self._top).parts)

    def _outside(self, real: str) -> UnsafeFileError:
        return UnsafeFileError(
            f"{self._name} is a link to {real!r}, outside of {str(self._root)!r}; "
            "put the file itself there"
        )

    def _climbs_out(self, parts: Sequence[str]) -> bool:
        depth = len(self._walked)
        for part in parts:
            depth += -1 if part == ".." else part not in ("", ".")
            if depth < 0:
                return True
        return False


def _check_regular(status: os.stat_result, name: str) -> None:
    """Raise `UnsafeFileError` unless the status is that of a regular file."""
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise UnsafeFileError(f"{name} is not a file, but {kind}; put a regular file there")


def read_object(path: Path) -> dict[str, Any]:
    """Read the JSON object in a file; raise `OSError` or `DamagedFileError`."""
    try:
        content = json.loads(path.read_bytes())
    except (RecursionError, ValueError) as error:  # not UTF-8, not JSON
        raise damaged(path, f"is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise damaged(path, f"must hold a JSON object, not a {type(content).__name__}")
    return content


def write_json(path: Path, content: Any) -> None:
    """Write or replace a file with indented JSON."""
    write(path, json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n")


def write(path: Path, content: bytes) -> None:
    """Write or replace a file; raises `OSError` with its path."""
    with writing(path) as file:
        file.write(content)


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Open a draft of a file; it replaces the file when the `with` block ends without an error.

    After an error the draft is deleted. A symbolic link stays and its target is replaced; an
    existing file keeps its permissions. A path that is no regular file, such as a pipe or
    /dev/stdout, is written directly. An `OSError` has the file's path.
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
        if isinstance(cause, FileNotFoundError) and path.parent.is_dir():
            raise _made_up(path) from error
        raise OSError(cause.errno, cause.strerror, str(path)) from error
    finally:
        with suppress(OSError):
            draft.unlink()


def check_writable(folder: Path) -> None:
    """Raise `OSError` if no file could be written to a folder, which may not exist yet.

    Called before long work, whose result would be lost.
    """
    there = folder.resolve()
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    draft = draft_in(there)
    try:
        draft.mkdir()  # permissions alone don't tell of a disk that is full, or can only be read
        draft.rmdir()
    except FileNotFoundError as error:
        raise _made_up(folder) from error
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error


@contextmanager
def final_place(draft: Path, place: Path) -> Iterator[None]:
    """Replace a draft's path, in an `OSError` about it, by the path it will have in the end."""
    try:
        yield
    except OSError as error:
        named = Path(str(error.filename))
        if not named.is_relative_to(draft):
            raise
        final = place / named.relative_to(draft)
        raise OSError(error.errno, error.strerror, str(final)) from error


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, unless it exists; raise `OSError` with its path."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:
        raise _made_up(folder) from error


def _made_up(path: Path) -> OSError:
    """Make the error for a path below a folder that the kernel generates, such as /proc.

    The kernel itself reports there that the file to be made is missing.
    """
    return OSError(errno.EOPNOTSUPP, "no file or folder can be made there", str(path))


def draft_in(folder: Path) -> Path:
    """Return a new path for a draft in that folder, which no other writer has."""
    return folder / f"{DRAFT}{uuid.uuid4().hex}"


def flush_folder(folder: Path) -> None:
    """Sync a folder, so that the names in it survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
