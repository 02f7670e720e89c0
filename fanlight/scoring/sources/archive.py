"""A zip of images: its members in the order of the archive → bytes, under a limit for each.

A member that claims more bytes than are allowed is not unpacked. Of any other, at most as many
bytes are unpacked as are allowed, whatever it claims. Archives in the archive are not opened.
"""

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import PurePosixPath
from typing import BinaryIO, cast

from fanlight.scoring.sources import listing, places
from fanlight.scoring.sources.source import Item
from models.errors import DamagedFileError
from service.errors import InvalidInputError
from training.data.files import picture_files


@dataclass(frozen=True)
class Members:
    """Some members of an archive, by their numbers in its directory.

    A process keeps the archive of its last piece open, since reading a large directory takes long.
    """

    archive: str
    numbers: tuple[int, ...]
    state: str

    @property
    def locations(self) -> tuple[str]:
        return (self.archive,)

    def items(self) -> Iterator[Item]:
        archive = _kept_open(self.archive, self.state)
        members = archive.infolist()
        if self.numbers and self.numbers[-1] >= len(members):
            raise DamagedFileError(f"{self.archive} has fewer members than it had: score it anew")
        for number in self.numbers:
            member = members[number]
            yield Item(member.filename, partial(_read, archive, member))


@lru_cache(maxsize=1)
def _kept_open(location: str, _state: str) -> zipfile.ZipFile:
    return _zip(location)


@dataclass(frozen=True)
class Archive:
    """A zip, as a source of images."""

    location: str
    members: Sequence[tuple[int, str, str]]
    """The number of each image in the directory, its name, and its size with its checksum."""
    left_out: str | None = None
    kind: str = "zip"

    def __len__(self) -> int:
        return len(self.members)

    @cached_property
    def digest(self) -> str:
        return listing.digest(f"{number}\0{name}\0{state}" for number, name, state in self.members)

    def piece(self, start: int, stop: int) -> Members:
        numbers = tuple(number for number, _, _ in self.members[start:stop])
        return Members(self.location, numbers, self.digest)


def opened(location: str) -> Archive:
    """List the images in a zip, by their names; raise `DamagedFileError` if it is none."""
    with _zip(location) as archive:
        members = archive.infolist()
    found: list[tuple[int, str, str]] = []
    others: list[str] = []
    for number, member in enumerate(members):
        path = PurePosixPath(member.filename)
        if member.is_dir() or any(map(picture_files.is_hidden, path.parts)):
            continue
        if path.suffix.lower() in picture_files.SUFFIXES:
            found.append((number, member.filename, f"{member.file_size} {member.CRC:08x}"))
        else:
            others.append(member.filename)
    return Archive(location, found, listing.left_out(others))


def _zip(location: str) -> zipfile.ZipFile:
    """Open a zip; raise `DamagedFileError` if it is none, or of a version that zipfile can't read
    (for which that raises `NotImplementedError`)."""
    try:
        if not places.is_url(location):
            return zipfile.ZipFile(location)
        files, path = places.file_system(location)
        return zipfile.ZipFile(cast(BinaryIO, files.open(path, "rb")))
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError) as error:
        places.check_ranges(location, error)
        raise DamagedFileError(
            f"{location} can't be read as a zip ({error}): pack or download it again"
        ) from error


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    if member.file_size > most:
        raise places.too_large(most)
    try:
        with archive.open(member) as file:
            found = file.read(most + 1)
    except NotImplementedError as error:  # a `RuntimeError` too, so it comes first
        raise InvalidInputError(
            f"its member of the zip is packed in a way that can't be read ({error}); pack it by "
            "deflate, as most programs do"
        ) from error
    except RuntimeError as error:  # it is encrypted
        raise InvalidInputError(
            "its member of the zip has a password; pack it without one"
        ) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise InvalidInputError(
            f"its member of the zip is damaged ({error}); pack it again"
        ) from error
    if len(found) > most:
        raise places.too_large(most)
    return found
