"""The composition root: settings → the application, with all that it opens and closes."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from service import errors, logs, openapi, processors, telemetry
from service.budget import Budget
from service.direct import Direct
from service.explaining import Lane
from service.images import Decoder
from service.metrics import Metrics
from service.repository import Repository
from service.routes import explain, features, health, inputs, kernels, models, pages, predict
from service.services import Services
from service.settings import Settings
from service.uploads import Receiver

MAX_DECODERS = 4  # each may need half a gigabyte for an image of as many pixels as are allowed
HELD_REQUESTS = 4  # of the largest size, whose activations are held at once
MAX_WAITING = 256  # requests for activations
DESCRIPTION = """Classify images with small networks.

Send images as `multipart/form-data`, the part `images` repeated, or one image as the body.
Errors are `application/problem+json`; its `detail` says what is allowed and which setting
changes it."""


class Application(FastAPI):
    """FastAPI's routes; before them the shortcut for predictions, around all of it telemetry."""

    def __init__(self, services: Services, **settings: Any) -> None:
        super().__init__(**settings)
        self.state = services  # type: ignore[assignment] # in place of one without types
        self._front = telemetry.Telemetry(
            predict.Shortcut(super().__call__, services), services.metrics
        )
        self.direct = Direct(services, self._front)  # which the protocol asks first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._front(scope, receive, send)


def create_app(settings: Settings) -> FastAPI:
    """The service for these settings; models load once it starts."""
    budget = Budget(HELD_REQUESTS * settings.max_feature_values, MAX_WAITING)
    services = Services(settings, Receiver(settings), budget, Metrics())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with Repository(settings, services.metrics) as repository:
            threads = min(MAX_DECODERS, max(1, processors.available() // settings.workers))
            with (
                closing(Decoder(settings, threads)) as decoder,
                closing(Lane(settings.max_explain_queue_size)) as lane,
                closing(services.metrics),
            ):
                services.repository, services.decoder, services.lane = repository, decoder, lane
                if settings.workers > 1:
                    # one port: a worker that still loads would answer 503 beside one that is ready
                    await repository.loaded()
                yield

    app = Application(
        services,
        title="Fanlight",
        version=_version(),
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.openapi = lambda: openapi.document(app, settings.api_key is not None)  # type: ignore[method-assign]
    errors.install(app)
    for routes in (health, models, predict, features, kernels, explain, inputs, pages):
        app.include_router(routes.router)
    pages.mount_assets(app)
    return app


def from_environment() -> FastAPI:
    """The service for the settings in the environment; each worker process starts here."""
    gc.freeze()
    gc.enable()  # `service.__main__` has switched it off
    settings = Settings()
    logs.configure(settings.log_level, settings.log_format)
    return create_app(settings)


def _version() -> str:
    try:
        return version("fanlight")
    except PackageNotFoundError:
        return "0"
