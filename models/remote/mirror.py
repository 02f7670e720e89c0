"""The local copy of a repository elsewhere: versions appear in it whole and verified, or not.

    listing → what is new → draft in the cache → sizes and SHA-256 checked → renamed to its place

One process at a time brings a copy up to date; the others use what is there.
"""

import hashlib
import json
import shutil
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from models import checkpoint, files
from models.checkpoint import CARD, CheckpointError
from models.checkpoint.folder import LARGEST_CARD, is_name, is_number
from models.checkpoint.network import GRAPH, WEIGHTS
from models.graphs.network import ARCHITECTURE
from models.remote.address import Address, RemoteError
from models.remote.storage import Storage, Stored
from models.trust.file import MAX_BYTES as MAX_TRUST
from models.trust.file import TRUST

MAX_BYTES = 2**30
"""Size of the weights of a version that is fetched, where nothing else is asked for."""
_LOCK = ".lock"
_MAX_TEXT = 300  # characters of an error about a card


@dataclass
class Synced:
    """What became of a copy: versions as "mnist/1", and a sentence for each problem.

    If `is_busy`, nothing was done: another process brings the copy up to date.
    """

    fetched: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    is_busy: bool = False


class Mirror:
    """The local copy of the repository at an address. `folder` is a repository folder."""

    def __init__(self, address: Address, max_bytes: int = MAX_BYTES) -> None:
        self.address, self._max_bytes = address, max_bytes
        self.folder = address.cache
        self._storage: Storage | None = None

    def sync(self, only: str | None = None, *, wait: bool = True) -> Synced:
        """Fetch new versions, of the model `only` or of all; remove those that are gone elsewhere.

        Without `wait`, nothing is done while another process does it. A version that can't be
        fetched is a problem, and stops no other. Raises `RemoteError` if nothing can be listed, and
        `OSError` if the cache can't be written.
        """
        files.make_folder(self.folder)
        try:
            with FileLock(self.folder / _LOCK, timeout=-1 if wait else 0):
                return self._sync(only)
        except Timeout:
            return Synced(is_busy=True)

    def _sync(self, only: str | None) -> Synced:
        self._storage = storage = self._storage or Storage(self.address)
        for draft in self.folder.glob(f"{files.DRAFT}*"):  # of a process that was killed
            shutil.rmtree(draft, ignore_errors=True)
        done = Synced()
        listed = self._listed(storage, done)
        there = {
            f"{name}/{number}"
            for name in checkpoint.names(self.folder)
            for number in checkpoint.versions(self.folder / name)
        }
        if not listed and not done.problems:
            to_do = f"the copies in {self.folder} are kept" if there else "correct it, or push one"
            done.problems.append(f"{self.address} lists no version; {to_do}")
        for gone in sorted(there - listed.keys()):
            if not done.problems:  # a listing that is damaged does not say what is gone
                self._remove(gone)
                done.removed.append(gone)
        for version in sorted(listed.keys() - there, key=_newest_first):
            if only not in (None, version.partition("/")[0]):
                continue
            try:
                self._fetch(storage, version, listed[version])
                done.fetched.append(version)
            except (RemoteError, CheckpointError) as error:
                done.problems.append(f"{version} of {self.address}: {error}")
        return done

    def _listed(self, storage: Storage, done: Synced) -> dict[str, Mapping[str, Stored]]:
        """Return the files of each version that has a card, by version; names from the cards where
        the folders tell none."""
        places: dict[str, dict[str, Stored]] = defaultdict(dict)
        for each in storage.listed():
            places[each.place][each.name] = each
        found: dict[str, Mapping[str, Stored]] = {}
        for place, own in places.items():
            if CARD not in own:
                continue  # it may just be pushed
            version = place
            if "/" not in place:
                try:
                    version = _claimed(_content(storage, own[CARD]), place)
                except RemoteError as error:
                    done.problems.append(f"{place or CARD} of {self.address}: {error}")
                    continue
            if version in found:
                done.problems.append(f"{version} is in two places of {self.address}; remove one")
                continue
            found[version] = own
        return found

    def _fetch(self, storage: Storage, version: str, own: Mapping[str, Stored]) -> None:
        """Copy a version into a draft, check it against its card, and rename it to its place."""
        name, _, number = version.partition("/")
        draft = files.draft_in(self.folder)
        folder = draft / name / number
        try:
            folder.mkdir(parents=True)
            files.write(folder / CARD, _content(storage, own[CARD]))
            card = checkpoint.read_card(folder)  # also compares name and version
            weights = GRAPH if card.architecture == ARCHITECTURE else WEIGHTS
            wanted = {weights: (card.weights_sha256, self._max_bytes)}
            if card.trust_sha256 is not None:
                wanted[TRUST] = (card.trust_sha256, MAX_TRUST)
            for file, (sha256, most) in wanted.items():
                _copy(storage, own.get(file), file, folder / file, sha256, most)
            place = self.folder / name / number
            place.parent.mkdir(exist_ok=True)
            folder.rename(place)
            files.flush_folder(place.parent)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _remove(self, version: str) -> None:
        draft = files.draft_in(self.folder)
        (self.folder / version).rename(draft)
        shutil.rmtree(draft, ignore_errors=True)
        with suppress(OSError):  # the model has other versions
            (self.folder / version).parent.rmdir()


def _newest_first(version: str) -> tuple[str, int]:
    name, _, number = version.partition("/")
    return name, -int(number)


def _claimed(card: bytes, place: str) -> str:
    """Return the version that a card states, such as "mnist/1"; `place` is its folder.

    Raises `RemoteError` for what is no card, and for one of another version than its folder.
    """
    try:
        found = json.loads(card)
        name, number = found["name"], found["version"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise RemoteError(f"{CARD} is no model's card: {error!r}"[:_MAX_TEXT]) from error
    if not is_name(name) or not is_number(number):
        raise RemoteError(f"{CARD} has no name of a model, or no number of a version")
    if place not in ("", str(number)):
        raise RemoteError(f"{CARD} in {place} is of {name}/{number}")
    return f"{name}/{number}"


def _content(storage: Storage, stored: Stored) -> bytes:
    if stored.size > LARGEST_CARD:
        raise RemoteError(f"{CARD} is larger than {LARGEST_CARD:,} bytes")
    pieces: list[bytes] = []
    storage.read(stored, pieces.append)
    return b"".join(pieces)


def _copy(
    storage: Storage, stored: Stored | None, name: str, target: Path, sha256: str, most: int
) -> None:
    if stored is None:
        raise RemoteError(f"{name} is missing; it may just be pushed, or push it again")
    if stored.size > most:
        raise RemoteError(f"{name} has {stored.size:,} bytes; at most {most:,} are fetched")
    digest = hashlib.sha256()
    with files.writing(target) as file:

        def take(chunk: bytes) -> None:
            digest.update(chunk)
            file.write(chunk)

        storage.read(stored, take)
        if digest.hexdigest() != sha256:
            raise RemoteError(f"{name} does not have the SHA-256 that {CARD} states; push it again")
