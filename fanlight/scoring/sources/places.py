"""Places by path or URL: which file system, and bytes of files under a limit.

A place on this machine is an absolute path; any other is a URL that fsspec opens.
"""

import errno
import os
import stat
import time
from pathlib import Path
from typing import Any

import fsspec

from models.errors import OptionError, masked, next_step
from models.remote.packages import missing
from service.errors import InvalidInputError, NotFoundError, TooLargeError, UnavailableError

MEMORY = "memory://"
SILENCE, TOTAL = 20.0, 120.0  # seconds, of a web server: until the next byte, and for a file
TRIES, PAUSE = 3, 0.5  # of fetching from elsewhere; seconds before the second, then twice that


def is_url(text: str) -> bool:
    """Whether a text is a URL of fsspec (`s3://…`, `data:…`), not a path."""
    return "://" in text or text.startswith("data:")


def is_in_memory(location: str) -> bool:
    """Whether other processes can't read what is there."""
    return MEMORY in location


def place(text: str) -> str:
    """Return an absolute path for a path or `file://` URL, and any other URL as it is."""
    path = path_of(text)
    return text if path is None else os.path.abspath(path)  # noqa: PTH100 (links stay)


def path_of(text: str) -> str | None:
    """Return the path in a path or `file://` URL; None for any other URL."""
    if text.startswith(("file://", "local://")):
        return text.partition("://")[2]
    return None if is_url(text) else text


def without_query(url: str) -> str:
    """Return a web URL up to its query, and any other text as it is: its `?` is part of a name."""
    return url.partition("?")[0] if url.startswith(("http://", "https://")) else url


def check_protocol(url: str) -> None:
    """Raise the error that says which package a URL needs; `OptionError` for an unknown protocol.

    The protocols of a chain, as in `zip://a.png::s3://bucket/b.zip`, are all checked.
    """
    for part in url.split("::"):
        if not is_url(part):
            continue  # a path on this machine, in which the part before lies
        protocol = part.partition(":")[0]
        try:
            fsspec.get_filesystem_class(protocol)
        except ImportError as error:
            raise missing(masked(part), protocol, error) from None
        except ValueError:
            raise OptionError(
                f"{url!r}: nothing here reads {protocol}://; there are paths, file://, s3://, "
                "gs://, hf://, https:// and what else fsspec knows"
            ) from None


def file_system(url: str) -> tuple[Any, str]:
    """Return fsspec's file system of a URL, and the path in it; raise the errors of
    `check_protocol`."""
    check_protocol(url)
    try:
        return _file_system(url)
    except ImportError as error:
        raise missing(masked(url), url.partition(":")[0], error) from None


def _file_system(url: str) -> tuple[Any, str]:
    """Return the file system, with bounds of time on the requests to a web server."""
    web = {part.partition(":")[0] for part in url.split("::")} & {"http", "https"}
    if not web:
        return fsspec.core.url_to_fs(url)  # type: ignore[no-any-return]
    import aiohttp

    limits = aiohttp.ClientTimeout(TOTAL, sock_connect=SILENCE, sock_read=SILENCE)
    options = {each: {"client_kwargs": {"timeout": limits}} for each in web}
    return fsspec.core.url_to_fs(url, **options)  # type: ignore[no-any-return]


def check_ranges(location: str, error: Exception) -> None:
    """Raise `OptionError` if it was a web server that gives no parts of its files."""
    if is_url(location) and "range requests" in str(error):
        raise OptionError(
            f"{location}: this web server gives no parts of files (byte ranges), which this kind "
            "of file is read by: download it, and give the file"
        ) from error


def state(info: dict[str, Any]) -> str:
    """Return what the storage tells of a file's content: size, and ETag or time."""
    names = ("ETag", "etag", "md5Hash", "checksum", "LastModified", "mtime", "created")
    mark = next((info[name] for name in names if info.get(name) is not None), "")
    return f"{info.get('size')} {mark}"


def read(location: str, most: int) -> bytes:
    """Read a whole file; raise a `ServiceError` if that fails, or if it has more than `most` bytes.

    What failed elsewhere is tried again, as networks fail for moments. A path on this machine must
    be that of a regular file: a pipe would never end.
    """
    return _fetched(location, most) if is_url(location) else _local(location, most)


def _local(path: str, most: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise InvalidInputError("no file, but a pipe or a device")
            if status.st_size > most:
                raise too_large(most)
            found = file.readall()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise not_there() from error
    except ValueError as error:  # a zero byte in the path
        raise NotFoundError(f"the path can't be one of a file: {error}") from error
    except OSError as error:
        advice = next_step(error)
        told = f"it can't be read: {error.strerror}" + (f"; {advice}" if advice else "")
        raise InvalidInputError(told) from error
    if len(found) > most:
        raise too_large(most)
    return found


def _fetched(url: str, most: int) -> bytes:
    for attempt in range(TRIES):
        try:
            files, path = file_system(url)
            with files.open(path, "rb") as file:
                found: bytes = file.read(most + 1)
            break
        except PermissionError as error:
            raise InvalidInputError(f"it can't be read: {reason(error)}") from error
        except OptionError as error:
            raise InvalidInputError(masked(str(error))) from error
        except Exception as error:  # each kind of storage has exceptions of its own
            if is_absent(error):
                raise not_there() from error
            is_last = attempt == TRIES - 1 or url.startswith(("data:", MEMORY))
            if isinstance(error, TimeoutError) or isinstance(error.__cause__, TimeoutError):
                is_last = True  # it has had its time
            if is_last:
                raise UnavailableError(
                    f"it could not be fetched: {reason(error)}; delete this file of rows, and run "
                    "the command again"
                ) from error
            time.sleep(PAUSE * 2**attempt)
    if len(found) > most:
        raise too_large(most)
    return found


def is_absent(error: Exception) -> bool:
    """Whether a file elsewhere is not there.

    fsspec says so too of a web server that could not be reached, and gives the reason as the cause.
    """
    cause = error.__cause__
    is_of_web = type(cause).__module__.startswith("aiohttp") or isinstance(cause, TimeoutError)
    is_told = not is_of_web or getattr(cause, "status", None) in (404, 410)
    return isinstance(error, FileNotFoundError) and is_told


def reason(error: BaseException) -> str:
    """Return what another library's error says, in one line without secrets."""
    if isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        error = error.__cause__  # it says more than that
    text = masked(" ".join(str(error).split()))[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def too_large(most: int) -> TooLargeError:
    """Return the error for an image file of more than `most` bytes."""
    return TooLargeError(f"the file is larger than {most:,} bytes (setting max_body_bytes)")


def not_there() -> NotFoundError:
    """Return the error for an image that is named, and missing."""
    return NotFoundError("there is no such file; put it there, or correct its path")


def whole(location: str, most: int) -> bytes:
    """Read a file that names images, such as a CSV; raise `OptionError` for more than `most` bytes.

    Raises `OSError` with the location as its filename if it can't be read.
    """
    if not is_url(location):
        path = Path(location)
        size, found = path.stat().st_size, b""
        if size <= most:
            found = path.read_bytes()
    else:
        files, inner = file_system(location)
        try:
            with files.open(inner, "rb") as file:
                found = file.read(most + 1)
        except Exception as error:
            raise OSError(errno.EIO, reason(error), location) from error
        size = len(found)
    if size > most:
        raise OptionError(f"{location} is larger than {most:,} bytes: split it into several")
    return found
