"""The models that are served: repository folder → verified, loaded, warmed versions.

A task beside the server follows the folder: it lets go of the versions that were removed and loads
the new ones, one after the other. Each version is `loading`, `ready` or `failed`; one that fails
stops no other, and is not tried again while its folder is there. One whose files are slow or hang
is read beside the others.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Literal, Self

import torch

from models.checkpoint import Checkpoint
from models.errors import FanlightError
from models.registry import proposal
from service import logs
from service.errors import NotFoundError, UnavailableError
from service.metrics import Metrics
from service.process import garbage
from service.repository import background
from service.repository.changes import ChangeWatch
from service.repository.folder import Folder
from service.repository.leases import Leases
from service.repository.loading import Loader, ServingModel
from service.settings import Settings

log = logs.Log()
ASIDE_SECONDS = 2.0  # for reading a version, before the next one is begun beside it
PATIENCE_SECONDS = 30.0  # for reading a version, before a look at the folder ends without it
LOOK_SECONDS = 10.0  # for listing the folder
EXIT_SECONDS = 2.0  # that the end of the service waits for what is being read
MAX_READING = 16  # versions that are read beside each other; those that hang are never done
MAX_REASON = 2000  # characters


@dataclass
class Version:
    """One version of a model; `loaded` is there once it is ready, `reason` once it has failed."""

    name: str
    number: int
    state: Literal["loading", "ready", "failed"] = "loading"
    reason: str | None = None
    loaded: "ServingModel | None" = None


class Repository:
    """All versions of a folder; an async context manager that follows the folder meanwhile.

    Leaving it drains the batchers and ends the engines.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._leases = Leases()
        self._loader = Loader(settings, metrics, self._leases)
        self._folder = Folder(settings.repository, settings.max_versions)
        self._versions: dict[str, dict[int, Version]] = {}
        self._answering: dict[tuple[str, int | None], ServingModel] = {}  # as far as somebody asked
        self._awaited: set[str] = set()
        self._reasons: list[str] | None = None
        self._reading: dict[tuple[str, int], _Reading] = {}
        self._looking: asyncio.Future[set[tuple[str, int]]] | None = None
        self._changes = ChangeWatch(settings.repository)
        self._first_update = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._look()
        self._awaited = set(self._versions)
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        if unfinished := [each.future for each in self._reading.values()]:
            await asyncio.wait(unfinished, timeout=EXIT_SECONDS)
            for each in unfinished:
                each.cancel()
        await self._leases.close_all()

    async def loaded(self) -> None:
        """Return when every version that was there at the start is ready or has failed."""
        await self._first_update.wait()

    @property
    def watching(self) -> bool:
        """Whether the folder is followed without `update` being called."""
        return self._watching is not None and not self._watching.done()

    def names(self) -> list[str]:
        return sorted(self._versions)

    def versions(self, name: str) -> list[Version]:
        """All versions of a model, rising; raises `NotFoundError` if there is no such model."""
        if name not in self._versions:
            known = ", ".join(self.names()) or "none"
            raise NotFoundError(
                f"no model {name!r}; {proposal(name, self.names())}there are: {known}"
            )
        return [version for _, version in sorted(self._versions[name].items())]

    def version(self, name: str, number: int | None) -> Version:
        """The version asked for, in whatever state; without a number the highest that is ready.

        If none is ready it is the highest of all. Raises `NotFoundError` if there is none.
        """
        versions = self.versions(name)
        if number is None:
            ready = [version for version in versions if version.state == "ready"]
            chosen = (ready or versions)[-1:]
        else:
            chosen = [version for version in versions if version.number == number]
        if not chosen:
            known = ", ".join(str(version.number) for version in versions) or "none"
            raise NotFoundError(f"no version {number} of {name!r}; there are: {known}")
        return chosen[0]

    def get(self, name: str, number: int | None) -> ServingModel:
        """The version that answers; raises `NotFoundError`, or `UnavailableError` if not ready."""
        if known := self._answering.get((name, number)):
            return known
        version = self.version(name, number)
        if version.loaded is None:
            state = "is still loading" if version.state == "loading" else "failed to load"
            reason = f": {version.reason}" if version.reason else ""
            raise UnavailableError(f"{name}/{version.number} {state}{reason}")
        self._answering[name, number] = version.loaded
        return version.loaded

    def not_ready(self) -> list[str]:
        """Why the service should get no requests yet: a line for each model that keeps it waiting.

        Those are the models that were there at the start, until each has answered once. Later ones
        don't count, whether they load or fail: publishing must not take servers that answer out of
        rotation. A service where no model answers is not ready.
        """
        if self._looking is not None and not self._versions:
            return [f"the folder {self._settings.repository} does not answer"]
        if not self._versions and not self._awaited:
            return ["the repository holds no models; train one with fanlight fit"]
        chosen = [self.version(name, None) for name in self.names()]
        if any(each.loaded for each in chosen):
            chosen = [each for each in chosen if each.name in self._awaited]
        reasons = {each.name: each.reason or each.state for each in chosen if not each.loaded}
        unread = self._awaited - self._versions.keys()
        reasons |= dict.fromkeys(unread, "its folder can't be read; see the log")
        return [f"{name}: {reason}" for name, reason in sorted(reasons.items())]

    async def update(self) -> None:
        """Follow the folder once; one call at a time.

        Returns when all that is new is loaded, except for versions that take longer than
        `PATIENCE_SECONDS` to read: those are for later calls.
        """
        changed = await self._look()
        while True:
            if await self._load_next():
                changed = True
            elif (left := self._patience()) > 0:
                futures = [each.future for each in self._reading.values()]
                await asyncio.wait(
                    futures, timeout=min(left, ASIDE_SECONDS), return_when=asyncio.FIRST_COMPLETED
                )
            else:
                break
            await self._look()
        if self._folder.readable and self._looking is None:
            await self._changes.look([each.loaded.marks for each in self._all() if each.loaded])
        if changed:
            garbage.freeze()
        reasons = self.not_ready()
        if reasons and reasons != self._reasons:
            log.warning("not ready", reasons=reasons)
        elif reasons != self._reasons:
            log.info("ready", models=self.names())
        self._reasons = reasons

    async def _watch(self) -> None:
        logged = None
        while True:
            try:
                await self.update()
                logged = None
            except Exception as error:
                if repr(error) != logged:  # once, not at every look
                    log.exception("not updated")
                logged = repr(error)
            self._first_update.set()
            if self._settings.watch_interval:
                await asyncio.sleep(self._settings.watch_interval)
            elif self._reading:  # what was slow at the start is not forgotten
                futures = [each.future for each in self._reading.values()]
                await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
            else:
                return

    async def _look(self) -> bool:
        """Enter the versions that are wanted and not there yet, and strike out the others.

        Returns whether there were others.
        """
        wanted = await self._wanted()
        if wanted is None:
            return False
        removed = {(each.name, each.number) for each in self._all()} - wanted
        for name, number in removed:
            self._strike_out(name, number)
        for name, number in wanted:
            known = self._versions.setdefault(name, {})
            known.setdefault(number, Version(name, number))
        self._versions = {name: known for name, known in self._versions.items() if known}
        if self._folder.readable:  # else it doesn't say that a model is gone
            self._awaited &= self._versions.keys()
        await self._leases.close_unused()  # before anything is loaded that needs the room
        return bool(removed)

    async def _wanted(self) -> set[tuple[str, int]] | None:
        """What the folder wants to be served; None while it hangs."""
        if self._looking is None:
            held = {(each.name, each.number) for each in self._all() if each.state != "failed"}
            self._looking = background.start(self._folder.wanted, held)
            await asyncio.wait([self._looking], timeout=LOOK_SECONDS)
            if not self._looking.done():
                log.warning("folder does not answer", repository=str(self._settings.repository))
        if not self._looking.done():
            return None
        done, self._looking = self._looking, None
        return done.result()

    def _strike_out(self, name: str, number: int) -> None:
        version = self._versions[name].pop(number)
        self._answering.clear()
        if reading := self._reading.pop((name, number), None):
            reading.future.cancel()
        runtime = None
        if version.loaded:
            version.loaded.lease.retired = True
            runtime = version.loaded.chosen.runtime.name
        self._metrics.removed(name, number, runtime)
        log.info("removed", model=name, version=number)

    def _all(self) -> list[Version]:
        return [version for known in self._versions.values() for version in known.values()]

    async def _load_next(self) -> bool:
        """Load a version that is new, of its model the highest; False if none can be loaded now."""
        loading = [each for each in self._all() if each.state == "loading" and self._is_next(each)]
        if loading:
            await self._try_to_load(min(loading, key=lambda each: (each.name, -each.number)))
        return bool(loading)

    def _is_next(self, version: Version) -> bool:
        """Whether it was read, or may be now."""
        reading = self._reading.get((version.name, version.number))
        return len(self._reading) < MAX_READING if reading is None else reading.future.done()

    def _patience(self) -> float:
        """Seconds that a look at the folder waits for what is still being read."""
        now = time.monotonic()
        return max(
            (each.started + PATIENCE_SECONDS - now for each in self._reading.values()), default=0
        )

    async def _try_to_load(self, version: Version) -> None:
        key = version.name, version.number
        reading = self._reading.get(key)
        if reading is None:
            reading = self._reading[key] = _Reading(
                asyncio.create_task(self._loader.load(*key)), time.monotonic()
            )
            await asyncio.wait([reading.future], timeout=ASIDE_SECONDS)
        if not reading.future.done():
            version.reason = (
                "loading takes long: its files are slow to read, or the network is large; "
                "other versions are loaded meanwhile"
            )
            log.warning("slow to load", model=version.name, version=version.number)
            return
        del self._reading[key]
        try:
            loaded = await self._loader.prepare(reading.future.result())
        except Exception as error:
            self._has_failed(version, error)
        else:
            self._is_ready(version, loaded)

    def _is_ready(self, version: Version, loaded: ServingModel) -> None:
        chosen = loaded.chosen
        version.loaded, version.state, version.reason = loaded, "ready", None
        self._answering.clear()
        self._awaited.discard(version.name)
        fell_back = chosen.fallback is not None
        self._metrics.loaded(version.name, version.number, chosen.runtime.name, fell_back)
        named = {"model": version.name, "version": version.number}
        log.info("loaded", **named, device=str(self._loader.device), runtime=chosen.runtime.name)
        if chosen.fallback:
            log.warning("runtime not taken", **named, reason=chosen.fallback)

    def _has_failed(self, version: Version, error: Exception) -> None:
        known = isinstance(error, FanlightError | torch.OutOfMemoryError)
        reason = str(error)[:MAX_REASON]
        version.state = "failed"
        version.reason = reason if known else "internal error; see the log"
        self._metrics.failed(version.name, version.number)
        log.error(
            "not loaded",
            model=version.name,
            version=version.number,
            reason=reason,
            exc_info=None if known else error,
        )


@dataclass(frozen=True)
class _Reading:
    """A version whose files are being read since then (`time.monotonic`)."""

    future: asyncio.Task[Checkpoint]
    started: float
