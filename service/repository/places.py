"""Several repository folders → the versions to serve: a model is served from the first that has it.

Each folder is listed in a thread of its own. A folder that hangs or can't be read delays no other,
and its versions stay in service.
"""

import asyncio
from collections.abc import Collection, Sequence, Set
from pathlib import Path

from models.checkpoint import Form, Place
from service.monitoring import logs
from service.repository import background
from service.repository.folder import Folder, limited

log = logs.Log()
BESIDE_SECONDS = 2.0  # for listing a folder, before the others are followed without it
LOOK_SECONDS = 10.0  # for listing the first of the folders


class Places:
    """The versions in the folders `roots`; a model in an earlier one hides it in a later one.

    A folder among `optional` may be missing until it has been seen for the first time.
    """

    def __init__(
        self, roots: Sequence[Path], max_versions: int, optional: Collection[Path] = ()
    ) -> None:
        self._looks = [
            _Look(root, Folder(root, max_versions, optional=root in optional)) for root in roots
        ]
        self._max_versions = max_versions
        self._hiding: dict[tuple[str, Path], Path] = {}
        self._too_many = False
        self.hidden: set[Place] = set()
        """The versions that an earlier repository hides."""

    @property
    def troubles(self) -> list[str]:
        """Why folders could not be read at the last look: a sentence for each reason."""
        return [reason for each in self._looks for reason in sorted(each.folder.troubles)]

    @property
    def silent(self) -> dict[Path, asyncio.Future[set[tuple[str, int]]]]:
        """The folders whose listing has not finished yet, with the future of that listing."""
        return {each.root: each.future for each in self._looks if each.future is not None}

    def readable(self, root: Path) -> bool:
        """Return whether the whole folder `root` could be read at the last look."""
        return any(e.root == root and e.future is None and e.folder.readable for e in self._looks)

    async def wanted(self, held: Set[Place]) -> set[Place]:
        """List the versions to serve; `held` are those that answer or load now."""
        fresh = [each.start(held) for each in self._looks if each.future is None]
        if fresh:
            await asyncio.wait(fresh, timeout=BESIDE_SECONDS)
        if not any(each.answered() for each in self._looks) and fresh:
            await asyncio.wait(fresh, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for each in self._looks:
            if each.answered():
                each.take()
            elif each.future in fresh:
                log.warning("folder does not answer", repository=str(each.root))
        return self._limited(self._merged(), held)

    def _merged(self) -> set[Place]:
        owners: dict[str, Path] = {}
        found: set[Place] = set()
        self.hidden = set()
        for look in self._looks:
            for name, number in look.found:
                place = Place(look.root, name, number, look.form)
                is_first = owners.setdefault(name, look.root) == look.root
                (found if is_first else self.hidden).add(place)
        self._tell({(each.name, each.root): owners[each.name] for each in self.hidden})
        return found

    def _tell(self, hiding: dict[tuple[str, Path], Path]) -> None:
        """Log once when a model becomes hidden, and once when it no longer is."""
        for name, root in sorted(hiding.keys() - self._hiding.keys()):
            log.info("hidden", model=name, repository=str(root), by=str(hiding[name, root]))
        for name, root in sorted(self._hiding.keys() - hiding.keys()):
            log.info("no longer hidden", model=name, repository=str(root))
        self._hiding = hiding

    def _limited(self, wanted: set[Place], held: Set[Place]) -> set[Place]:
        """Return at most `max_versions` of the wanted versions; log once if there are more."""
        too_many = len(wanted) > self._max_versions
        if too_many and not self._too_many:
            log.warning("too many versions", found=len(wanted), max_versions=self._max_versions)
        self._too_many = too_many
        if not too_many:
            return wanted
        kept = limited(set(map(_version, wanted)), set(map(_version, held)), self._max_versions)
        return {each for each in wanted if _version(each) in kept}


def _version(place: Place) -> tuple[str, int]:
    return place.name, place.number


class _Look:
    """One folder: the versions in its last listing, and the listing that goes on now, if any."""

    def __init__(self, root: Path, folder: Folder) -> None:
        self.root, self.folder = root, folder
        self.found: set[tuple[str, int]] = set()
        self.form = Form.NESTED
        self.future: asyncio.Future[set[tuple[str, int]]] | None = None

    def start(self, held: Set[Place]) -> asyncio.Future[set[tuple[str, int]]]:
        own = {_version(each) for each in held if each.root == self.root}
        self.future = background.start(self.folder.wanted, own)
        return self.future

    def answered(self) -> bool:
        return self.future is not None and self.future.done()

    def take(self) -> None:
        assert self.future is not None  # noqa: S101
        done, self.future = self.future, None
        self.found, self.form = done.result(), self.folder.form
