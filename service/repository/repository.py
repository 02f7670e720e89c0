"""The models that are served: repository folders → verified, loaded, warmed versions.

A background task follows the folders: it drops versions that were removed and loads new ones, one
after the other. Each version is `loading`, `ready` or `failed`. A version that fails stops no
other, and is not tried again while its folder exists. A version whose files are slow or hang is
read while others are loaded. If another repository begins to provide a model, its previous versions
answer until a new one is ready.
"""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import torch

from models.checkpoint import Checkpoint, Form, Place
from models.errors import FanlightError
from models.registry import proposal
from service.errors import NotFoundError, UnavailableError
from service.monitoring import logs
from service.monitoring.metrics import Metrics
from service.monitoring.tracing import Tracing
from service.process import garbage
from service.repository.changes import ChangeWatch
from service.repository.leases import Leases
from service.repository.loading import Loader, ServingModel
from service.repository.mirrors import Mirrors
from service.repository.places import Places
from service.settings import Settings

log = logs.Log()
ASIDE_SECONDS = 2.0  # for reading a version, before the next one is begun beside it
PATIENCE_SECONDS = 30.0  # for reading a version, before a look at the folder ends without it
EXIT_SECONDS = 2.0  # that the end of the service waits for what is being read
MAX_READING = 16  # versions that are read beside each other; those that hang are never done
MAX_REASON = 2000  # characters


@dataclass
class Version:
    """One version of a model.

    `loaded` is set once it is ready. `reason` says why it failed, or why it takes long to load.
    """

    place: Place
    state: Literal["loading", "ready", "failed"] = "loading"
    reason: str | None = None
    loaded: "ServingModel | None" = None

    @property
    def name(self) -> str:
        return self.place.name

    @property
    def number(self) -> int:
        return self.place.number


class Repository:
    """All versions in the repository folders; an async context manager.

    Inside the block a background task follows the folders. Leaving it drains the batchers and ends
    the engines.
    """

    def __init__(
        self, settings: Settings, metrics: Metrics, tracing: Tracing | None = None
    ) -> None:
        self._settings, self._metrics = settings, metrics
        self._leases = Leases()
        self._loader = Loader(settings, metrics, self._leases, tracing)
        self._mirrors = Mirrors(
            settings.repositories,
            settings.max_checkpoint_bytes,
            settings.watch_interval,
            metrics,
        )
        self._roots = self._mirrors.folders
        optional = self._mirrors.copies if settings.repository else self._roots
        self._places = Places(self._roots, settings.max_versions, optional)
        self._versions: dict[str, dict[int, Version]] = {}
        self._replaced: dict[str, list[Version]] = {}  # ready ones, whose model is elsewhere now
        self._answering: dict[tuple[str, int | None], ServingModel] = {}  # as far as somebody asked
        self._awaited: dict[str, Path] = {}  # by name, with the repository
        self._reasons: list[str] | None = None
        self._reading: dict[Place, _Reading] = {}
        self._changes = ChangeWatch()
        self._first_update = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        log.info("repositories", folders=[str(each) for each in self._roots])
        self._mirrors.start()
        await self._mirrors.first()
        await self._look()
        self._awaited = {each.name: each.place.root for each in self._all()}
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._mirrors.stop()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        if unfinished := [each.future for each in self._reading.values()]:
            await asyncio.wait(unfinished, timeout=EXIT_SECONDS)
            for each in unfinished:
                each.cancel()
        await self._leases.close_all()

    async def loaded(self) -> None:
        """Wait for the first update of the versions.

        Each version that was there at the start is then ready, failed, or slow to read.
        """
        await self._first_update.wait()

    @property
    def device(self) -> torch.device:
        """The device on which networks run."""
        return self._loader.device

    @property
    def watching(self) -> bool:
        """True while the background task follows the folders."""
        return self._watching is not None and not self._watching.done()

    def names(self) -> list[str]:
        return sorted(self._versions)

    def versions(self, name: str) -> list[Version]:
        """Return all versions of a model, in ascending order; raise `NotFoundError` for no such
        model."""
        if name not in self._versions:
            known = ", ".join(self.names()) or "none"
            raise NotFoundError(
                f"no model {name!r}; {proposal(name, self.names())}there are: {known}"
            )
        return [version for _, version in sorted(self._versions[name].items())]

    def version(self, name: str, number: int | None) -> Version:
        """Return a version in whatever state; raise `NotFoundError` if there is none.

        Without a number it is the highest one that is ready, or the highest of all if none is.
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
        """Return a version that can answer.

        Raises `NotFoundError` if there is none, `UnavailableError` if it is not ready.
        """
        if known := self._answering.get((name, number)):
            return known
        version = self._replacing(name, number) or self.version(name, number)
        if version.loaded is None:
            state = "is still loading" if version.state == "loading" else "failed to load"
            reason = f": {version.reason}" if version.reason else ""
            raise UnavailableError(f"{name}/{version.number} {state}{reason}")
        self._answering[name, number] = version.loaded
        return version.loaded

    def _replacing(self, name: str, number: int | None) -> Version | None:
        """Return the replaced version with this number (None: the highest), if it still answers.

        Versions are replaced when another repository begins to provide their model, or when another
        version takes their place in a folder of one version. They answer until a new one is ready.
        """
        before = [each for each in self._replaced.get(name, ()) if number in (None, each.number)]
        return max(before, key=lambda each: each.number, default=None)

    def not_ready(self) -> list[str]:
        """Return why the service should get no requests yet: a line for each model, or none.

        Only models that were there at the start count, and only until a version of theirs was
        ready. Later models don't count, whether they load or fail: publishing must not take servers
        that answer out of rotation. A service where no model answers is not ready.
        """
        if (silent := self._places.silent) and not self._versions:
            return [f"the folder {root} does not answer" for root in silent]
        if not self._versions and not self._awaited:
            return [*self._mirrors.troubles, *self._places.troubles] or [
                "the repository holds no models; train one with fanlight fit"
            ]
        chosen = [self.version(name, None) for name in self.names()]
        failing = [each for each in chosen if not each.loaded and each.name not in self._replaced]
        if len(failing) < len(chosen):
            failing = [each for each in failing if each.name in self._awaited]
        reasons = {each.name: each.reason or each.state for each in failing}
        unread = self._awaited.keys() - self._versions.keys()
        reasons |= dict.fromkeys(unread, "its folder can't be read; see the log")
        return [f"{name}: {reason}" for name, reason in sorted(reasons.items())]

    async def update(self) -> None:
        """Bring the versions up to date with the folders once; only one call may run at a time.

        Returns when all new versions are loaded or have failed, except those that take longer than
        `PATIENCE_SECONDS` to read: later calls load these.
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
        await self._changes.look(
            [
                each.loaded.marks
                for each in self._all()
                if each.loaded and self._places.readable(each.place.root)
            ]
        )
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
            elif slow := self._slow():  # at the start, which is not forgotten
                await asyncio.wait(slow, return_when=asyncio.FIRST_COMPLETED)
            else:
                return

    async def _look(self) -> bool:
        """Add new versions that are to be loaded, and drop versions that are no longer wanted.

        Returns whether any version was dropped.
        """
        held = {each.place for each in self._all() if each.state != "failed"}
        wanted = await self._places.wanted(held)
        roots = {place.name: place.root for place in wanted}
        removed = [each for each in self._all() if each.place not in wanted]
        for version in removed:
            del self._versions[version.name][version.number]
            swapped = version.place.form is Form.VERSION and version.name in roots
            if version.loaded and (
                swapped or roots.get(version.name, version.place.root) != version.place.root
            ):
                self._replaced.setdefault(version.name, []).append(version)
                self._answering.clear()
            else:
                self._strike_out(version)
        for place in wanted:
            known = self._versions.setdefault(place.name, {})
            known.setdefault(place.number, Version(place))
        self._versions = {name: known for name, known in self._versions.items() if known}
        self._end_replaced()
        self._awaited = {  # a folder that can't be read doesn't say that a model is gone
            name: root
            for name, root in self._awaited.items()
            if name in self._versions or not self._places.readable(root)
        }
        await self._leases.close_unused()  # before anything is loaded that needs the room
        return bool(removed)

    def _end_replaced(self) -> None:
        """Drop replaced versions once another one serves their model, or none has it.

        If all new versions have failed, the replaced ones answer as long as their files exist; the
        version whose place in a folder another one took answers without.
        """
        for name, before in list(self._replaced.items()):
            states = {each.state for each in self._versions.get(name, {}).values()}
            if states and "ready" not in states:
                kept = [
                    each
                    for each in before
                    if "loading" in states
                    or each.place in self._places.hidden
                    or each.place.form is Form.VERSION
                ]
            else:
                kept = []
            for version in before:
                if version not in kept:
                    self._strike_out(version)
            if kept:
                self._replaced[name] = kept
            else:
                del self._replaced[name]

    def _strike_out(self, version: Version) -> None:
        name, number = version.name, version.number
        self._answering.clear()
        if reading := self._reading.pop(version.place, None):
            reading.future.cancel()
        runtime = None
        if version.loaded:
            version.loaded.lease.retired = version.loaded.marks.retired = True
            runtime = version.loaded.chosen.runtime.name
        self._metrics.versions.removed(name, number, runtime)
        if number not in self._versions.get(name, {}):  # where another repository has it
            self._metrics.versions.gone(name, number)
        log.info("removed", model=name, version=number)

    def _all(self) -> list[Version]:
        return [version for known in self._versions.values() for version in known.values()]

    async def _load_next(self) -> bool:
        """Load the next new version, the highest of its model first.

        Returns False if none can be loaded now.
        """
        loading = [each for each in self._all() if each.state == "loading" and self._is_next(each)]
        if loading:
            await self._try_to_load(min(loading, key=lambda each: (each.name, -each.number)))
        return bool(loading)

    def _is_next(self, version: Version) -> bool:
        """Return whether the version has been read, or can be read now."""
        reading = self._reading.get(version.place)
        return len(self._reading) < MAX_READING if reading is None else reading.future.done()

    def _slow(self) -> list[asyncio.Future[Any]]:
        """Return the futures of files and folders that are still being read."""
        return [*(each.future for each in self._reading.values()), *self._places.silent.values()]

    def _patience(self) -> float:
        """Return how many seconds `update` still waits for versions that are being read."""
        now = time.monotonic()
        return max(
            (each.started + PATIENCE_SECONDS - now for each in self._reading.values()), default=0
        )

    async def _try_to_load(self, version: Version) -> None:
        place = version.place
        reading = self._reading.get(place)
        if reading is None:
            reading = self._reading[place] = _Reading(
                asyncio.create_task(self._loader.load(place)), time.monotonic()
            )
            await asyncio.wait([reading.future], timeout=ASIDE_SECONDS)
        if not reading.future.done():
            version.reason = (
                "loading takes long: its files are slow to read, or the network is large; "
                "other versions are loaded meanwhile"
            )
            log.warning("slow to load", model=version.name, version=version.number)
            return
        del self._reading[place]
        try:
            loaded = await self._loader.prepare(place, reading.future.result())
        except Exception as error:
            self._has_failed(version, error)
        else:
            self._is_ready(version, loaded)

    def _is_ready(self, version: Version, loaded: ServingModel) -> None:
        chosen = loaded.chosen
        version.loaded, version.state, version.reason = loaded, "ready", None
        self._end_replaced()
        self._answering.clear()
        self._awaited.pop(version.name, None)
        fell_back = chosen.fallback is not None
        self._metrics.versions.loaded(loaded.checkpoint.card, chosen.runtime.name, fell_back)
        named = {"model": version.name, "version": version.number}
        log.info("loaded", **named, device=str(self._loader.device), runtime=chosen.runtime.name)
        if chosen.fallback:
            log.warning("runtime not taken", **named, reason=chosen.fallback)

    def _has_failed(self, version: Version, error: Exception) -> None:
        known = isinstance(error, FanlightError | torch.OutOfMemoryError)
        reason = str(error)[:MAX_REASON]
        version.state = "failed"
        version.reason = reason if known else "internal error; see the log"
        if version.name in self._replaced:
            version.reason += (
                "; the version that it replaced in its folder goes on answering"
                if version.place.form is Form.VERSION
                else "; the model of this name in another repository goes on answering"
            )
        self._metrics.versions.failed(version.name, version.number)
        log.error(
            "not loaded",
            model=version.name,
            version=version.number,
            reason=reason,
            exc_info=None if known else error,
        )


@dataclass(frozen=True)
class _Reading:
    """A version whose files are being read, with the time of `time.monotonic` at the start."""

    future: asyncio.Task[Checkpoint]
    started: float
