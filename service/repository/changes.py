"""Changed files: loaded versions and their folders → a mark on each version whose files differ."""

import asyncio
from collections.abc import Sequence

from models import checkpoint
from models.checkpoint import Place
from service.repository import background
from service.repository.marks import Marks

PATIENCE_SECONDS = 2.0  # for a look at all versions; one that takes longer is left to itself


class ChangeWatch:
    """A watcher of the files of loaded versions; it marks versions whose files have changed.

    A version whose files hang is skipped until they answer; the others are still checked.
    """

    def __init__(self) -> None:
        self._hanging: set[Place] = set()
        self._found: list[tuple[Marks, str | None]] = []

    async def look(self, versions: Sequence[Marks]) -> None:
        """Check all versions whose files don't hang, and mark those that have changed."""
        now = [each for each in versions if each.place not in self._hanging]
        look = _Look(now, self._found)
        done = background.start(look.run)
        await asyncio.wait([done], timeout=PATIENCE_SECONDS)
        if not done.done() and (at := look.at) is not None:
            look.is_abandoned = True
            self._hanging.add(at.place)
            done.add_done_callback(lambda _: self._hanging.discard(at.place))
        elif done.done():
            done.result()
        found, self._found[:] = self._found[:], []
        for marks, reason in found:
            marks.changed(reason)


class _Look:
    """One check of the files of all versions, in a thread."""

    def __init__(self, versions: Sequence[Marks], found: list[tuple[Marks, str | None]]) -> None:
        self._versions, self._found = versions, found
        self.at: Marks | None = None
        self.is_abandoned = False

    def run(self) -> None:
        for marks in self._versions:
            if self.is_abandoned:
                return
            self.at = marks
            try:
                reason, marks.stamps = checkpoint.changes(marks.place, marks.stamps)
            except OSError:  # the disk does not answer, which says nothing about the files
                continue
            self._found.append((marks, reason))
        self.at = None
