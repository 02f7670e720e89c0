"""The files of a repository elsewhere, by fsspec: listed, read and written under limits."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Protocol

from models.checkpoint.folder import MAX_NAME, NAME
from models.checkpoint.network import GRAPH, WEIGHTS
from models.checkpoint.place import CARD
from models.errors import masked
from models.extras import imported
from models.remote.address import Address, RemoteError
from models.remote.packages import PACKAGES, missing
from models.trust.file import TRUST

INDEX = "index.json"
"""The list of files that `fanlight push` writes, for web servers, which list nothing."""
FILES = (CARD, WEIGHTS, GRAPH, TRUST)
"""The files of a version; no other is ever read, whatever is listed."""
MAX_LISTED = 100_000
_MAX_INDEX = 32 * 2**20  # bytes
_CHUNK = 2**20  # bytes that are read at a time
_MAX_TEXT = 300  # characters of another library's message
_PLACE = re.compile(rf"(?:(?:({NAME.pattern})/)?([1-9][0-9]{{0,17}})/)?([a-z.]+)")


@dataclass(frozen=True)
class Stored:
    """A listed file of a version. `place` is its folder below the address: "mnist/1", "1" or ""."""

    place: str
    name: str
    size: int


class _FileSystem(Protocol):
    """What is used of fsspec's file systems, which have no types."""

    def find(self, path: str, **options: Any) -> Mapping[str, Mapping[str, Any]]: ...
    def open(self, path: str, mode: str, **options: Any) -> BinaryIO: ...
    def makedirs(self, path: str, exist_ok: bool) -> None: ...
    def exists(self, path: str) -> bool: ...
    def invalidate_cache(self) -> None: ...


class Storage:
    """The files below an address. Any failure of the other side raises `RemoteError`."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._system = _file_system(address)

    def listed(self) -> list[Stored]:
        """List the files of versions; files that are none of a version's are left out."""
        with _as_remote_error(self.address):
            found = self._index() if self.address.is_web else self._found()
        if len(found) > MAX_LISTED:
            raise RemoteError(
                f"{self.address} has more than {MAX_LISTED:,} files: name a folder of fewer"
            )
        return [each for path, size in found.items() if (each := _stored(path, size)) is not None]

    def exists(self) -> bool:
        """Return whether there is anything at the address."""
        with _as_remote_error(self.address):
            self._system.invalidate_cache()
            return self._system.exists(self._path())

    def read(self, stored: Stored, take: Callable[[bytes], object]) -> None:
        """Give a file's content to `take`, piece by piece; raise `RemoteError` if it is longer than
        was listed, or shorter."""
        left = stored.size
        with _as_remote_error(self.address), self._opened(stored.place, stored.name) as file:
            while chunk := file.read(min(_CHUNK, left + 1)):
                left -= len(chunk)
                if left < 0:
                    break
                take(chunk)
        if left:
            raise RemoteError(
                f"{self.address}: {stored.place}/{stored.name} has not the {stored.size:,} bytes "
                "that are listed; it may just be written"
            )

    def write(self, place: str, name: str, source: BinaryIO, tell: Callable[[int], object]) -> None:
        """Write a file, and tell the size of each piece."""
        with _as_remote_error(self.address):
            folder = self._path(place)
            if self.address.has_folders:  # elsewhere this would make a bucket of a misspelt name
                self._system.makedirs(folder, exist_ok=True)
            with self._system.open(f"{folder}/{name}", "wb") as file:
                while chunk := source.read(_CHUNK):
                    file.write(chunk)
                    tell(len(chunk))

    def _path(self, *parts: str) -> str:
        web = f"{self.address.protocol}://" if self.address.is_web else ""
        return web + "/".join(filter(None, (self.address.path, *parts)))

    @contextmanager
    def _opened(self, place: str, name: str) -> Iterator[BinaryIO]:
        options = {"block_size": 0} if self.address.is_web else {}  # one request, as a stream
        with self._system.open(self._path(place, name), "rb", **options) as file:
            yield file

    def _found(self) -> dict[str, int]:
        self._system.invalidate_cache()
        root = self._path()
        found = self._system.find(root, maxdepth=3, detail=True)
        links = [path for path, status in found.items() if status.get("islink")]
        if links:
            raise RemoteError(f"{self.address}: {links[0]} is a symbolic link; put the file there")
        top = PurePosixPath("/", root)
        return {
            str(PurePosixPath("/", path).relative_to(top)): status["size"]
            for path, status in found.items()
            if PurePosixPath("/", path).is_relative_to(top) and type(status["size"]) is int
        }

    def _index(self) -> dict[str, int]:
        with self._opened("", INDEX) as file:
            content = b""
            while chunk := file.read(_CHUNK):
                content += chunk
                if len(content) > _MAX_INDEX:
                    raise RemoteError(f"{self.address}/{INDEX} is larger than {_MAX_INDEX:,} bytes")
        try:
            files = json.loads(content)["files"]
            return {str(path): int(size) for path, size in files.items()}
        except (RecursionError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise RemoteError(
                f'{self.address}/{INDEX} is no index, {{"files": {{path: bytes}}}}, as fanlight '
                f"push writes it ({type(error).__name__})"
            ) from error


def _stored(path: str, size: int) -> Stored | None:
    found = _PLACE.fullmatch(path)
    if found is None or found[3] not in FILES or len(found[1] or "") > MAX_NAME or size < 0:
        return None
    return Stored("/".join(filter(None, found.groups()[:2])), found[3], size)


def _file_system(address: Address) -> _FileSystem:
    fsspec = imported("fsspec", "remote", f"the repository {address}")
    if address.protocol in PACKAGES:
        module, extra = PACKAGES[address.protocol]
        imported(module, extra, f"the repository {address}")
    try:
        system: _FileSystem = fsspec.filesystem(address.protocol, skip_instance_cache=True)
    except ValueError as error:
        known = ", ".join(f"{each}://" for each in ("s3", "gs", "hf", "https", "file"))
        raise RemoteError(
            f"{address}: no storage is called {address.protocol!r}; there are {known} and others "
            "of fsspec"
        ) from error
    except ImportError as error:
        raise missing(f"the repository {address}", address.protocol, error) from error
    except Exception as error:  # of any library
        raise _error(address, error) from error
    return system


@contextmanager
def _as_remote_error(address: Address) -> Iterator[None]:
    """Raise what other libraries raise, which is of many kinds, as `RemoteError`."""
    try:
        yield
    except RemoteError:
        raise
    except Exception as error:
        raise _error(address, error) from error


def _error(address: Address, error: Exception) -> RemoteError:
    text = masked(" ".join(str(error).split()))[:_MAX_TEXT]
    return RemoteError(f"{address} can't be used: {type(error).__name__}: {text}")
