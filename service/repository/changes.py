"""Loaded versions and their folders → which files are not those that were loaded."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from models import checkpoint
from service.repository import background
from service.repository.marks import Marks

PATIENCE_SECONDS = 2.0  # for a look at all versions; one that takes longer is left to itself

Key = tuple[str, int]


class ChangeWatch:
    """Looks at the files of loaded versions, and marks what changed.

    A version whose files hang is looked at no more until they answer; the others are.
    """

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._hanging: set[Key] = set()
        self._found: list[tuple[Marks, str | None]] = []

    async def look(self, versions: Sequence[Marks]) -> None:
        """Look at all that don't hang, and mark them."""
        now = [each for each in versions if (each.model, each.version) not in self._hanging]
        look = _Look(self._repository, now, self._found)
        done = background.start(look.run)
        await asyncio.wait([done], timeout=PATIENCE_SECONDS)
        if not done.done() and (at := look.at) is not None:
            look.is_abandoned = True
            key = at.model, at.version
            self._hanging.add(key)
            done.add_done_callback(lambda _: self._hanging.discard(key))
        elif done.done():
            done.result()
        found, self._found[:] = self._found[:], []
        for marks, reason in found:
            marks.changed(reason)


class _Look:
    """One pass through the files, in a thread."""

    def __init__(
        self, repository: Path, versions: Sequence[Marks], found: list[tuple[Marks, str | None]]
    ) -> None:
        self._repository, self._versions, self._found = repository, versions, found
        self.at: Marks | None = None
        self.is_abandoned = False

    def run(self) -> None:
        for marks in self._versions:
            if self.is_abandoned:
                return
            self.at = marks
            folder = self._repository / marks.model / str(marks.version)
            try:
                reason, marks.stamps = checkpoint.changes(folder, marks.stamps)
            except OSError:  # the disk does not answer, which says nothing about the files
                continue
            self._found.append((marks, reason))
        self.at = None
