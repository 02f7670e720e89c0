"""The errors that a user can fix, apart from bugs of Fanlight.

Every error that a user can fix (a wrong option, a damaged file, a device that is not there) is a
`FanlightError` or an `OSError` with a path. The commands print those in one line. Any other
exception is a bug, and keeps its traceback. docs/errors.md shows the family.
"""

import errno
import re
from pathlib import Path

_NEXT_STEPS = {
    errno.ENOSPC: "make room on that disk, or name a folder on another one",
    errno.EDQUOT: "make room within your quota, or name a folder on another disk",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f), or name another folder",
    errno.EACCES: "give your user the permission, or name another place",
    errno.EPERM: "give your user the permission, or name another place",
    errno.EROFS: "name a folder on a disk that can be written to",
    errno.EOPNOTSUPP: "name a place on a disk",
    errno.ENOENT: "put it there, or correct the path",
    errno.ENOTDIR: "a part of the path is a file: name a folder",
    errno.EISDIR: "it is a folder: name a file",
    errno.EEXIST: "there is something else of that name: move it away, or name another place",
    errno.ENAMETOOLONG: "shorten the name",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.EIO: "the disk may be broken: name a folder on another one",
}


# Where a URL has become a path, its slashes are merged. A query ends before the quote and the comma
# that may follow a URL in a sentence.
_URL = re.compile(
    r"""(?<=\w\w)(:/+)([^/@\s]*@)?((?:(?!:/)[^\s?])*)(\?\S*?(?=['"]?[;:,.)]*(?:\s|$)))?"""
)


class FanlightError(Exception):
    """The user can mend it; the message says what is wrong, what is allowed and what to do."""


class OptionError(FanlightError, ValueError):
    """An option of a command, or a field of a recipe, has a value that it can't have.

    It is a `ValueError` too, because the command line turns those into an error of usage.
    """


class DamagedFileError(FanlightError):
    """A file does not hold what its name promises; the message names it."""


class InstallationError(FanlightError):
    """Two installed packages do not fit each other."""


class ImageError(FanlightError):
    """The bytes are not a complete image of an allowed format, or cost too much to decode."""


class TooManyPixelsError(ImageError):
    """The image's header declares too many pixels; nothing was decoded."""


def message(error: BaseException) -> str | None:
    """Return what a command prints of an error and its notes, or None if the error is a bug.

    Secrets in URLs are left out.
    """
    if isinstance(error, FanlightError):
        return masked("\n".join([str(error), *getattr(error, "__notes__", [])]))
    if isinstance(error, OSError) and error.filename is not None:
        return masked(f"{error.filename}: {error.strerror}")
    return None


def masked(text: str) -> str:
    """Return a text without what may be a secret in its URLs: users, passwords and queries."""

    def without(url: re.Match[str]) -> str:
        start, user, path, query = url.groups()
        return f"{start}{'…@' if user else ''}{path}{'?…' if query else ''}"

    return _URL.sub(without, text)


def next_step(error: OSError) -> str:
    """Return what to do about an error of the file system; "" if there is no special advice."""
    return _NEXT_STEPS.get(error.errno or 0, "")


def damaged(path: Path, problem: str, *, line: int | None = None) -> DamagedFileError:
    """Make the error for a damaged file; `problem` begins with a verb, and `line` counts from 1."""
    return DamagedFileError(f"{path}{'' if line is None else f' line {line}'} {problem}")
