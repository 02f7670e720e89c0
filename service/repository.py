"""The models that are served: repository folder → verified, loaded, warmed versions.

Loading runs beside the server, so that it can say what it is doing; each version is `loading`,
`ready` or `failed`, and one that fails does not stop the others.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Literal, Self

import structlog
import torch
from torch import Tensor

from models import checkpoint, devices
from models.checkpoint import Checkpoint, CheckpointError
from service import processors
from service.batching import Batcher
from service.engine import Engine
from service.errors import NotFoundError, UnavailableError
from service.settings import Settings

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
    """What a version needs to answer."""

    checkpoint: Checkpoint
    batcher: Batcher[Tensor, list[float]] = field(repr=False)


class Repository:
    """All versions of a folder; an async context manager that loads them in the background.

    Leaving it drains the batchers and ends the engines.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._device = devices.resolve(settings.device)
        self._threads = settings.threads or max(1, processors.available() // settings.workers)
        self._versions: dict[str, dict[int, Version]] = {}
        self._resources = AsyncExitStack()
        self._loading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        folder = self._settings.repository
        for name in checkpoint.names(folder):
            if numbers := checkpoint.versions(folder / name):
                self._versions[name] = {number: Version(name, number) for number in numbers}
        self._loading = asyncio.create_task(self._load_all())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait([self._loading])
        await self._resources.aclose()

    async def loaded(self) -> None:
        """Return when every version is ready or has failed."""
        if self._loading is not None:
            await self._loading

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
        version = self.version(name, number)
        if version.loaded is None:
            state = "is still loading" if version.state == "loading" else "failed to load"
            reason = f": {version.reason}" if version.reason else ""
            raise UnavailableError(f"{name}/{version.number} {state}{reason}")
        return version.loaded

    def not_ready(self) -> list[str]:
        """Why the service should get no requests yet: a line for each model that can't answer."""
        if not self._versions:
            return ["the repository holds no models; train one with python -m training fit"]
        chosen = [self.version(name, None) for name in self.names()]
        return [f"{each.name}: {each.reason or each.state}" for each in chosen if not each.loaded]

    async def _load_all(self) -> None:
        for name in self.names():
            for version in reversed(self.versions(name)):  # the highest answers by default
                try:
                    version.loaded = await self._load(version)
                    version.state = "ready"
                    log.info("loaded", model=name, version=version.number, device=str(self._device))
                except Exception as error:
                    known = isinstance(error, CheckpointError | torch.OutOfMemoryError)
                    version.state = "failed"
                    version.reason = str(error) if known else "internal error; see the log"
                    log.error(
                        "not loaded",
                        model=name,
                        version=version.number,
                        reason=str(error),
                        exc_info=not known,
                    )
        if reasons := self.not_ready():
            log.warning("not ready", reasons=reasons)
        else:
            log.info("ready", models=self.names())

    async def _load(self, version: Version) -> Loaded:
        settings = self._settings
        folder = settings.repository / version.name / str(version.number)
        verified = await asyncio.to_thread(checkpoint.load, folder, self._device)
        async with AsyncExitStack() as resources:  # given back at once if warming fails
            engine = Engine(verified, threads=self._threads, precision=settings.precision)
            resources.push_async_callback(asyncio.to_thread, engine.close)
            await engine.warm(settings.max_batch_size)
            batcher = Batcher[Tensor, list[float]](
                engine.run,
                max_batch_size=settings.max_batch_size,
                max_queue_size=settings.max_queue_size,
                max_batch_delay=settings.max_batch_delay,
            )
            await resources.enter_async_context(batcher)
            self._resources.push_async_exit(resources.pop_all())
        return Loaded(verified, batcher)
