"""What a source of images is, for all who score it: its images in a fixed order, by pieces."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

from service.errors import ServiceError


class Item(NamedTuple):
    """One image of a source.

    `path` is its name for people, None if it has none. `read(most)` returns the encoded bytes; it
    raises a `ServiceError` that says why there are none, or that there are more than `most`.
    """

    path: str | None
    read: Callable[[int], bytes]


class Piece(Protocol):
    """Some images that follow each other in a source. It can be pickled, and is read elsewhere."""

    @property
    def locations(self) -> Iterable[str]:
        """The paths and URLs that are read."""
        ...

    def items(self) -> Iterator[Item]:
        """Yield the images in order, each to be read before the next one is asked for."""
        ...


class Source(Protocol):
    """Images in a fixed order.

    `kind` is what the source is, in a word. `left_out` says in words which files are not taken,
    None if there are none. `digest` changes when the list of images does: their names, and what
    the storage tells of their content without reading it (size, time, ETag).
    """

    @property
    def kind(self) -> str: ...

    @property
    def left_out(self) -> str | None: ...

    @property
    def digest(self) -> str: ...

    def __len__(self) -> int: ...

    def piece(self, start: int, stop: int) -> Piece:
        """Return the images from `start` up to but not including `stop`."""
        ...


@dataclass(frozen=True)
class InMemoryPiece:
    """A piece whose bytes are held: of a source that other processes can't read (`memory://`)."""

    images: tuple[tuple[str | None, bytes | ServiceError], ...]
    locations: tuple[str, ...] = ()

    @classmethod
    def of(cls, piece: Piece, most: int) -> "InMemoryPiece":
        """Read a piece here; each image may have `most` bytes."""
        return cls(tuple((item.path, read(item, most)) for item in piece.items()))

    def items(self) -> Iterator[Item]:
        for path, found in self.images:
            yield Item(path, partial(_given, found))


def read(item: Item, most: int) -> bytes | ServiceError:
    """Read an image of at most `most` bytes; return the error if that fails."""
    try:
        return item.read(most)
    except ServiceError as error:
        return error


def _given(found: bytes | ServiceError, _most: int) -> bytes:
    if isinstance(found, ServiceError):
        raise found
    return found
