"""The models that are served: repository folder → verified, loaded, warmed versions.

A task beside the server follows the folder: it lets go of the versions that were removed and loads
the new ones, one after the other. Each version is `loading`, `ready` or `failed`; one that fails
stops no other, and is not tried again while its folder is there.
"""

import asyncio
import gc
import weakref
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Self

import structlog
import torch
from torch import nn

from models import checkpoint, devices
from models.checkpoint import Checkpoint, CheckpointError
from models.preprocessing import Pixels
from service import explaining, graphs, processors, runtimes
from service.batching import Batcher
from service.engine import Answer, Engine, Look, Seen
from service.errors import NotFoundError, UnavailableError
from service.graphs import Graphs
from service.metrics import Metrics
from service.runtimes import Chosen
from service.settings import Settings
from service.watching import Folder

log = structlog.get_logger()


@dataclass
class Version:
    """One version of a model; `loaded` is there once it is ready, `reason` once it has failed."""

    name: str
    number: int
    state: Literal["loading", "ready", "failed"] = "loading"
    reason: str | None = None
    loaded: "Loaded | None" = None


@dataclass(frozen=True)
class Loaded:
    """What a version needs to answer; whoever holds it can use it, also after a removal."""

    checkpoint: Checkpoint
    batcher: Batcher[Pixels, Answer] = field(repr=False)
    features: Batcher[Look, Seen] = field(repr=False)
    explained: nn.Module = field(repr=False)
    chosen: Chosen


class Repository:
    """All versions of a folder; an async context manager that follows the folder meanwhile.

    Leaving it drains the batchers and ends the engines.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._device = devices.resolve(settings.device)
        self._processors = max(1, processors.available() // settings.workers)
        self._threads = settings.threads or self._processors
        self._folder = Folder(settings.repository)
        asked = settings.graph_cache
        self._graphs = Graphs(asked or graphs.usual_folder(), asked=asked is not None)
        self._versions: dict[str, dict[int, Version]] = {}
        self._answering: dict[tuple[str, int | None], Loaded] = {}  # as far as somebody asked
        self._awaited: set[str] = set()
        self._open: list[tuple[weakref.ref[Loaded], AsyncExitStack]] = []
        self._reasons: list[str] | None = None
        self._settled = asyncio.Event()
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
        async with AsyncExitStack() as everything:
            for _loaded, resources in self._open:
                everything.push_async_exit(resources)

    async def loaded(self) -> None:
        """Return when every version that was there at the start is ready or has failed."""
        await self._settled.wait()

    def names(self) -> list[str]:
        return sorted(self._versions)

    def versions(self, name: str) -> list[Version]:
        """All versions of a model, rising; raises `NotFoundError` if there is no such model."""
        if name not in self._versions:
            known = ", ".join(self.names()) or "none"
            raise NotFoundError(f"no model {name!r}; there are: {known}")
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

    def ready(self, name: str, number: int | None) -> Loaded:
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
        if not self._versions and not self._awaited:
            return ["the repository holds no models; train one with python -m training fit"]
        chosen = [self.version(name, None) for name in self.names()]
        if any(each.loaded for each in chosen):
            chosen = [each for each in chosen if each.name in self._awaited]
        reasons = {each.name: each.reason or each.state for each in chosen if not each.loaded}
        unread = self._awaited - self._versions.keys()
        reasons |= dict.fromkeys(unread, "its folder can't be read; see the log")
        return [f"{name}: {reason}" for name, reason in sorted(reasons.items())]

    async def update(self) -> None:
        """Follow the folder once; one call at a time. Returns when all that is new is loaded."""
        changed = await self._look()
        while await self._load_next():
            changed = True
            await self._look()
        if changed:
            _freeze()
        reasons = self.not_ready()
        if reasons and reasons != self._reasons:
            log.warning("not ready", reasons=reasons)
        elif reasons != self._reasons:
            log.info("ready", models=self.names())
        self._reasons = reasons

    async def _watch(self) -> None:
        told = None
        while True:
            try:
                await self.update()
                told = None
            except Exception as error:
                if repr(error) != told:  # once, not at every look
                    log.exception("not updated")
                told = repr(error)
            self._settled.set()
            if not self._settings.watch_interval:
                return
            await asyncio.sleep(self._settings.watch_interval)

    async def _look(self) -> bool:
        """Enter the versions that are wanted and not there yet, and strike out the others.

        Returns whether there were others.
        """
        held = {(each.name, each.number) for each in self._all() if each.state != "failed"}
        wanted = await asyncio.to_thread(self._folder.wanted, held)
        removed = {(each.name, each.number) for each in self._all()} - wanted
        for name, number in removed:
            self._strike_out(name, number)
        for name, number in wanted:
            known = self._versions.setdefault(name, {})
            known.setdefault(number, Version(name, number))
        self._versions = {name: known for name, known in self._versions.items() if known}
        if self._folder.readable:  # else it doesn't say that a model is gone
            self._awaited &= self._versions.keys()
        await self._close_unused()  # before anything is loaded that needs the room
        return bool(removed)

    def _strike_out(self, name: str, number: int) -> None:
        version = self._versions[name].pop(number)
        self._answering.clear()
        if version.loaded:
            self._metrics.removed(name, number, version.loaded.chosen.runtime.name)
        log.info("removed", model=name, version=number)

    def _all(self) -> list[Version]:
        return [version for known in self._versions.values() for version in known.values()]

    async def _load_next(self) -> bool:
        """Load a version that is new, of its model the highest; False if there is none."""
        loading = [version for version in self._all() if version.state == "loading"]
        if loading:
            await self._try_to_load(min(loading, key=lambda each: (each.name, -each.number)))
        return bool(loading)

    async def _try_to_load(self, version: Version) -> None:
        named = {"model": version.name, "version": version.number}
        try:
            version.loaded = await self._load(version)
            version.state = "ready"
            self._answering.clear()
            self._awaited.discard(version.name)
            chosen = version.loaded.chosen
            told = {"device": str(self._device), "runtime": chosen.runtime.name}
            log.info("loaded", **named, **told)
            fell_back = chosen.fallback is not None
            self._metrics.loaded(version.name, version.number, chosen.runtime.name, fell_back)
            if chosen.fallback:
                log.warning("runtime not taken", **named, reason=chosen.fallback)
        except Exception as error:
            known = isinstance(error, CheckpointError | torch.OutOfMemoryError)
            version.state = "failed"
            version.reason = str(error) if known else "internal error; see the log"
            log.error("not loaded", **named, reason=str(error), exc_info=not known)

    async def _load(self, version: Version) -> Loaded:
        settings = self._settings
        folder = settings.repository / version.name / str(version.number)
        verified = await asyncio.to_thread(checkpoint.load, folder, self._device)
        chosen = await asyncio.to_thread(
            runtimes.choose,
            verified,
            settings.runtime,
            settings.precision,
            self._threads,
            max_batch_size=settings.max_batch_size,
            graphs=self._graphs,
        )
        async with AsyncExitStack() as resources:  # given back at once if warming fails
            engine = Engine(
                verified,
                threads=self._threads,
                max_batch_size=settings.max_batch_size,
                eager=chosen.eager,
                runtime=chosen.runtime,
                alone=self._processors == 1,
                observe=partial(self._metrics.ran, version.name, version.number),
            )
            resources.push_async_callback(asyncio.to_thread, engine.close)
            await engine.warm()
            batcher = Batcher[Pixels, Answer](
                engine.run,
                max_batch_size=engine.batch_size,
                max_queue_size=settings.max_queue_size,
                max_batch_delay=settings.max_batch_delay,
            )
            features = Batcher[Look, Seen](
                engine.activations,
                max_batch_size=settings.max_batch_size,
                max_queue_size=settings.max_queue_size,
            )
            await resources.enter_async_context(batcher)
            await resources.enter_async_context(features)
            twin = explaining.twin(verified.network)
            loaded = Loaded(verified, batcher, features, twin, chosen)
            self._open.append((weakref.ref(loaded), resources.pop_all()))
        return loaded

    async def _close_unused(self) -> None:
        """End the engines of the versions that were removed and that no request holds any more."""
        still_open = []
        for loaded, resources in self._open:
            if loaded() is None:
                await resources.aclose()
            else:
                still_open.append((loaded, resources))
        self._open = still_open


def _freeze() -> None:
    """Collect garbage once, and leave what is still there out of later collections.

    Walking over all that torch and the networks consist of takes a tenth of a second, during which
    nobody is answered. What requests leave is little, and is looked through less often than usual.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
