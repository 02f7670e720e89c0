"""Repositories elsewhere: addresses of the settings → local copies that follow them, in threads.

The copies are folders, which `service.repository.places` follows like any other. While an address
can't be reached, its copy goes on being served.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from models.errors import FanlightError
from models.remote.address import Address, address_of
from models.remote.mirror import Mirror, Synced
from service.monitoring import logs
from service.monitoring.metrics import Metrics
from service.repository import background

log = logs.Log()
START_SECONDS = 10.0  # that a start waits for an address, if there are copies of an earlier one
START_SECONDS_WITHOUT_COPIES = 60.0
BUSY_SECONDS = 0.5  # until the next try to see what another process has fetched for the first time
LONGEST_SECONDS = 300.0  # between two tries while an address can't be reached


class Mirrors:
    """The copies of the repositories that are addresses; `folders` has all repositories as folders.

    `interval` is the time in seconds between two looks, 0 for one look at the start.
    """

    def __init__(
        self, repositories: Sequence[Path], max_bytes: int, interval: float, metrics: Metrics
    ) -> None:
        found = [(each, address_of(each)) for each in repositories]
        mirrors = {path: Mirror(a, max_bytes) for path, a in found if a is not None}
        self.folders = tuple(
            mirrors[each].folder if each in mirrors else each for each in repositories
        )
        self._followed = [_Followed(each, interval, metrics) for each in mirrors.values()]
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def copies(self) -> tuple[Path, ...]:
        """The folders that are copies; such a folder may be missing until the first look."""
        return tuple(each.mirror.folder for each in self._followed)

    @property
    def troubles(self) -> list[str]:
        """What was wrong at the last look, and what is being fetched for the first time."""
        return [reason for each in self._followed for reason in each.troubles]

    def start(self) -> None:
        self._tasks = [asyncio.create_task(each.follow()) for each in self._followed]

    async def first(self) -> None:
        """Wait for the first look at each address; only briefly for one that has copies."""
        await asyncio.gather(*(each.first() for each in self._followed))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


class _Followed:
    """One address, and what became of its last look."""

    def __init__(self, mirror: Mirror, interval: float, metrics: Metrics) -> None:
        self.mirror, self._interval, self._metrics = mirror, interval, metrics
        self._looked = asyncio.Event()
        self.troubles: list[str] = [f"{mirror.address} is being fetched"]

    @property
    def _address(self) -> Address:
        return self.mirror.address

    async def follow(self) -> None:
        """Look again and again, after failures ever more rarely."""
        failures = 0
        while True:
            synced = await self._synced()
            if synced.is_busy and not self._looked.is_set():
                await asyncio.sleep(BUSY_SECONDS)
                continue
            if not synced.is_busy:
                self._tell(synced)
            failures = failures + 1 if synced.problems else 0
            self._looked.set()
            if not self._interval:
                return
            await asyncio.sleep(
                min(self._interval * 2 ** min(failures, 20), max(LONGEST_SECONDS, self._interval))
            )

    async def first(self) -> None:
        has_copies = await background.start(_has_models, self.mirror.folder)
        try:
            limit = START_SECONDS if has_copies else START_SECONDS_WITHOUT_COPIES
            await asyncio.wait_for(self._looked.wait(), limit)
        except TimeoutError:
            log.warning("repository does not answer", repository=str(self._address))

    async def _synced(self) -> Synced:
        """Bring the copy up to date in a thread; failures become problems."""
        try:
            return await background.start(lambda: self.mirror.sync(wait=False))
        except (FanlightError, OSError) as error:
            return Synced(problems=[str(error)])
        except Exception:
            log.exception("not fetched", repository=str(self._address))
            return Synced(problems=[f"{self._address}: internal error; see the log"])

    def _tell(self, synced: Synced) -> None:
        """Log and count what became of the copy; a problem that goes on is logged once."""
        for version in synced.fetched:
            log.info("fetched", repository=str(self._address), version=version)
        for version in synced.removed:
            log.info("gone", repository=str(self._address), version=version)
        for reason in synced.problems:
            if reason not in self.troubles:
                log.warning(
                    "not fetched",
                    repository=str(self._address),
                    reason=reason,
                    copies=str(self.mirror.folder),
                )
        if self.troubles and not synced.problems:
            log.info("in step", repository=str(self._address), copies=str(self.mirror.folder))
        if synced.problems:
            self._metrics.repository_failed(str(self._address))
        self.troubles = synced.problems


def _has_models(folder: Path) -> bool:
    return any(folder.glob("*/*/card.json"))
