"""One repository folder: the versions in it, and the versions held so far → the versions to serve.

A version that is removed from the folder is no longer served. If the folder can't be read, or is
missing (an unmounted disk, say), nothing changes: held versions go on answering or loading. The
content of a version is not read again, since a published version never changes.
"""

import heapq
import os
from collections import Counter
from collections.abc import Callable, Set
from pathlib import Path

from models import checkpoint
from models.checkpoint import CheckpointError, Contents, Form
from service.monitoring import logs

log = logs.Log()


class Folder:
    """A repository folder, which need not exist.

    A missing folder is logged as a problem, unless it is `optional` and has never existed.
    """

    def __init__(self, path: Path, max_versions: int = 1000, *, optional: bool = False) -> None:
        self.path, self._max_versions, self._optional = path, max_versions, optional
        self.form = Form.NESTED
        """How the versions lay in it at the last look that could read it."""
        self._identity: os.stat_result | None = None  # as it was when it was last read
        self._troubles: set[str] = set()

    @property
    def readable(self) -> bool:
        """True if the whole folder could be read at the last look."""
        return not self._troubles

    @property
    def troubles(self) -> Set[str]:
        """Why the folder could not be read, or not as a whole, at the last look."""
        return self._troubles

    def wanted(self, held: Set[tuple[str, int]]) -> set[tuple[str, int]]:
        """List the versions to serve, as (name, number); `held` are those that answer or load now.

        If the folder can't be read, these are `held`. Versions that failed are not among them, so
        they are loaded again later. The log says when the folder becomes unreadable and when it is
        readable again.
        """
        troubles: set[str] = set()
        try:
            wanted = set() if self._is_to_come() else self._read(held, troubles)
        except (OSError, CheckpointError) as error:
            wanted = set(held)
            troubles.add(str(error))
        for reason in sorted(troubles - self._troubles):
            log.warning("not readable", repository=str(self.path), reason=reason)
        if self._troubles and not troubles:
            log.info("readable again", repository=str(self.path))
        self._troubles = troubles
        return wanted

    def _is_to_come(self) -> bool:
        """Return whether the folder is optional and has not existed yet."""
        return self._optional and self._identity is None and not self.path.exists()

    def _read(self, held: Set[tuple[str, int]], troubles: set[str]) -> set[tuple[str, int]]:
        opened = os.open(
            self.path, os.O_RDONLY | os.O_DIRECTORY
        )  # stays this folder while others are moved about
        try:
            return self._read_opened(opened, held, troubles)
        finally:
            os.close(opened)

    def _read_opened(
        self, opened: int, held: Set[tuple[str, int]], troubles: set[str]
    ) -> set[tuple[str, int]]:
        identity = os.fstat(opened)
        inside = checkpoint.contents(self.path)
        found: set[tuple[str, int]] = set()
        for name in inside.names:
            try:
                found.update((name, number) for number in inside.versions(name))
            except (OSError, CheckpointError) as error:  # of this model; the others are still seen
                troubles.add(str(error))
        wanted = found | {each for each in held - found if not _gone(opened, inside, *each)}
        if not os.path.samestat(identity, self.path.stat()):
            raise OSError("another folder took its place while it was read")
        replaced = self._identity is not None and not os.path.samestat(identity, self._identity)
        if replaced and held and not found:  # a mount point without its disk
            raise OSError("an empty folder has taken its place")
        self._identity, self.form = identity, inside.form
        if len(wanted) > self._max_versions:
            troubles.add(
                f"there are {len(wanted):,} versions; at most {self._max_versions:,} are served "
                "(setting max_versions), of each model the highest first"
            )
        return limited(wanted, held, self._max_versions)


def limited(
    wanted: set[tuple[str, int]], held: Set[tuple[str, int]], most: int
) -> set[tuple[str, int]]:
    """Return at most `most` of the wanted versions, in the order of `_priority`."""
    if len(wanted) <= most:
        return wanted
    return set(heapq.nsmallest(most, wanted, key=_priority(wanted, held)))


def _gone(opened: int, inside: Contents, name: str, number: int) -> bool:
    """Return whether the version is missing in the opened repository folder.

    Where names come from cards, which could be read, a version of another name is missing.
    """
    if inside.form is not Form.NESTED and (inside.form is Form.VERSION or name not in inside.names):
        return True
    try:
        os.stat("/".join(inside.place(name, number).parts), dir_fd=opened)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:  # it may be there
        return False
    return False


def _priority(
    wanted: Set[tuple[str, int]], held: Set[tuple[str, int]]
) -> Callable[[tuple[str, int]], tuple[bool, int, str]]:
    """Return the sort key of a version: the versions with the lowest keys are served.

    First comes the highest held version of each model, then the highest of each, the second, and so
    on.
    """
    best = dict(sorted(held & wanted))  # name → highest number
    place: dict[tuple[str, int], int] = {}
    count: Counter[str] = Counter()
    for name, number in sorted(wanted, reverse=True):
        place[name, number] = count[name]
        count[name] += 1
    return lambda each: (best.get(each[0]) != each[1], place[each], each[0])
