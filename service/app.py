"""The composition root: settings → the application, with all that it opens and closes."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, closing
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import Depends, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from service.access.forwarded import Forwarded
from service.access.gate import Gate
from service.access.origins import Origins
from service.images.decoding import Decoder
from service.inference.admission import MemoryBudget
from service.inference.explanation import ExplanationWorker
from service.inferring import Inferrer
from service.inspection import MAX_ORIGINALS, Inspector, Places
from service.monitoring import logs
from service.monitoring.metrics import Metrics
from service.monitoring.tracing import Tracing
from service.prediction import Predictor
from service.process import cpu, garbage, memory, open_files
from service.repository.repository import Repository
from service.requests.reception import Receiver
from service.responses import openapi, problems
from service.responses.addresses import Addresses
from service.routes import pages, routers
from service.server import protocol
from service.server.connections import ConnectionLimits
from service.server.fast_path import FastPath
from service.server.middleware import telemetry
from service.server.middleware.caching import Caching
from service.server.middleware.head import HeadAsGet
from service.server.middleware.metrics_port import MetricsPort
from service.server.middleware.pacing import Pacing
from service.server.middleware.prefix import Prefix
from service.server.shortcut import Shortcut
from service.setting_values import environment
from service.settings import Settings
from service.state import AppState, check_query

MAX_DECODERS = 4  # twice as many processes, each of which may need ten bytes a pixel of an image
HELD_REQUESTS = 4  # of the largest size, whose activations are held at once
MAX_WAITING = 256  # requests for activations
DESCRIPTION = """Classify images with small networks.

Send images as `multipart/form-data`, the part `images` repeated, or one image as the body.
Errors are `application/problem+json`; its `detail` says what is allowed and which setting
changes it."""


TAGS = [
    {"name": "predict", "description": "Images to labels with their scores."},
    {"name": "look inside", "description": "What a network does with an image, and why."},
    {"name": "models", "description": "What is served."},
    {"name": "health", "description": "For whoever keeps the service running."},
]
MISSING_ELSEWHERE = (  # under a server with another HTTP protocol than ours
    "the fast path for predictions",
    f"the bound of {protocol.MAX_HEAD:,} bytes on the head of a request",
    f"the bound of {protocol.MAX_PIPELINED} requests that wait on a connection",
    "the limits of connections: their number, their time, and answers that are not taken",
    "the refusal of heads that a proxy may read otherwise",
    "with httptools: the bodies of requests that offer an upgrade: curl --http2, Java's client",
)
_LIMITS = (  # settings that the line at the start tells
    *("max_batch_size", "max_queue_size", "max_queue_wait", "request_timeout", "max_images"),
    *("max_body_bytes", "max_held_bytes", "max_image_pixels", "max_connections"),
)
log = logs.Log()


class Application(FastAPI):
    """The ASGI application: FastAPI's routes, behind a shortcut for predictions.

    Telemetry and the other middleware are around both.
    """

    def __init__(self, state: AppState, **settings: Any) -> None:
        super().__init__(**settings)
        self.state = state  # type: ignore[assignment] # in place of one without types
        inside: ASGIApp = HeadAsGet(Pacing(Caching(Shortcut(super().__call__, state))))
        if state.settings.metrics_port is not None:
            inside = MetricsPort(inside, state.settings.metrics_port)
        if state.settings.root_path is not None:
            inside = Prefix(inside, state.settings.root_path)
        allowed = state.settings.cors_origins
        is_logged = state.settings.access_log
        origins = Origins(allowed) if allowed else None
        self._front = telemetry.Telemetry(
            inside, state.metrics, origins, state.tracing, is_logged=is_logged
        )
        trusted = state.settings.trusted_proxies
        self._forwarded = Forwarded(trusted) if trusted else None
        self._knows_server = False
        self.fast_path = FastPath(state, self._front, self._forwarded)  # which is asked first
        self.connection_limits = _connection_limits(state)  # which the protocol keeps

    def drain(self) -> None:
        """Begin to drain: the server calls this when it has to end.

        From now on `/health/ready` answers 503. Other requests are still answered. A start that is
        still loading models does not wait for them.
        """
        self.state.draining.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._knows_server and scope["type"] == "http":
            self._knows_server = True
            if not self.fast_path.is_offered_requests:
                log.warning(
                    "other_server", missing=MISSING_ELSEWHERE, advice="fanlight serve has these"
                )
        if self._forwarded is not None and scope["type"] == "http":
            self._forwarded.apply(scope)
        await self._front(scope, receive, send)


def create_app(settings: Settings) -> FastAPI:
    """Build the application for these settings. Models are loaded when it starts."""
    budget = MemoryBudget(HELD_REQUESTS * settings.max_feature_values, MAX_WAITING)
    originals = MemoryBudget(MAX_ORIGINALS, settings.max_explain_queue_size)
    tracing = Tracing() if settings.tracing else None
    state = AppState(settings, Receiver(settings), Metrics(), Gate(settings), tracing)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with (
            Repository(settings, state.metrics, tracing) as repository,
            memory.Trimming(lambda: not len(state.receiver.timer)),
        ):
            threads = min(MAX_DECODERS, cpu.per_worker(settings.workers))
            with (
                closing(Decoder(settings, threads)) as decoder,
                closing(ExplanationWorker(settings.max_explain_queue_size)) as worker,
                Places.opened(settings, threads) as places,
                closing(state.metrics),
                state.gate,
            ):
                decoder.start()
                state.repository, state.decoder = repository, decoder
                state.predictor = Predictor(
                    settings, repository, decoder, None if state.gate.is_open else state.gate
                )
                state.inspector = Inspector(
                    settings, repository, decoder, worker, budget, originals, places
                )
                state.inferrer = Inferrer(
                    settings,
                    repository,
                    state.receiver,
                    decoder,
                    state.predictor,
                    state.inspector,
                )
                # then the server listens, unless it was told to end meanwhile
                await _first(repository.loaded(), state.draining.wait())
                _tell_start(settings, repository)
                current = asyncio.create_task(state.metrics.keep_current())
                try:
                    yield
                finally:
                    current.cancel()
                    if tracing is not None:
                        await asyncio.to_thread(tracing.close)

    app = Application(
        state,
        title="Fanlight",
        version=_version(),
        description=DESCRIPTION,
        contact={"name": "Fanlight"},
        servers=[{"url": settings.root_path or "/", "description": "this service"}],
        openapi_tags=TAGS,
        lifespan=lifespan,
        redirect_slashes=False,  # to an address that the client's Host names
        docs_url=None,
        redoc_url=None,
    )
    app.openapi = lambda: openapi.document(app, settings)  # type: ignore[method-assign]
    found = routers()
    problems.install(app, Addresses(found, pages.ASSETS))
    for router in found:
        app.include_router(router, dependencies=[Depends(check_query)])
    pages.mount_assets(app)
    return app


def _tell_start(settings: Settings, repository: Repository) -> None:
    """Log what runs, where, and within which limits: the first thing to know about a fault."""
    runtimes: dict[str, str] = {}
    for name in repository.names():
        for each in repository.versions(name):
            if each.loaded is not None:
                runtimes[f"{name}/{each.number}"] = each.loaded.chosen.runtime.name
    processors = cpu.per_worker(settings.workers)
    log.info(
        "serving",
        version=_version(),
        runtimes=runtimes,
        device=str(repository.device),
        threads=settings.threads or processors,
        processors=processors,
        workers=settings.workers,
        limits={name: getattr(settings, name) for name in _LIMITS},
    )


async def _first(*events: Coroutine[Any, Any, object]) -> None:
    """Wait until the first of these coroutines is done, then cancel the others."""
    tasks = [asyncio.create_task(each) for each in events]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def from_environment() -> FastAPI:
    """Build the application for the settings in the environment; each worker calls this."""
    garbage.start()
    settings = Settings()
    logs.configure(settings.log_level, settings.log_format)
    environment.report(Settings.model_fields)
    return create_app(settings)


def _connection_limits(state: AppState) -> ConnectionLimits:
    settings = state.settings
    most = open_files.max_connections(settings.max_connections)
    if settings.max_connections and most < settings.max_connections:
        log.warning(
            "max_connections lowered",
            to=most,
            reason="the limit of open files is too low",
            advice="raise it, with ulimit -n or LimitNOFILE",
        )
    return ConnectionLimits(
        most,
        settings.head_timeout,
        settings.idle_timeout,
        settings.send_timeout,
        settings.max_unsent_bytes,
        state.metrics.connection_ended,
    )


def _version() -> str:
    try:
        return version("fanlight")
    except PackageNotFoundError:
        return "0"
