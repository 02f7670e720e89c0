"""The state of the application that requests use, and the dependencies of the routes."""

import asyncio
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request

from service.access.gate import Gate
from service.errors import UnavailableError
from service.images.decoding import Decoder
from service.inferring import Inferrer
from service.inspection import Inspector
from service.monitoring.metrics import Metrics
from service.monitoring.tracing import Tracing
from service.prediction import Predictor
from service.repository.repository import Repository
from service.requests import parameters
from service.requests.reception import Receiver, Reception
from service.settings import Settings


@dataclass(eq=False)
class AppState:
    """The state of an application. Fields with `init=False` are set while it runs."""

    settings: Settings
    receiver: Receiver
    metrics: Metrics
    gate: Gate
    tracing: Tracing | None = None
    draining: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    """Set once the server will end, although it still answers."""
    repository: Repository = field(init=False)
    decoder: Decoder = field(init=False)
    predictor: Predictor = field(init=False)
    inspector: Inspector = field(init=False)
    inferrer: Inferrer = field(init=False)

    def check_ready(self) -> None:
        """Raise `UnavailableError` if the service should get no requests, or not yet."""
        if self.draining.is_set():
            raise UnavailableError("the server is about to end; send requests to another one")
        if reasons := self.repository.not_ready():
            raise UnavailableError("; ".join(reasons))


# coroutines: FastAPI would run a plain function in a thread, for each request
async def _state(request: Request) -> AppState:
    return cast(AppState, request.app.state)


State = Annotated[AppState, Depends(_state)]


async def _images(request: Request, state: State) -> Reception:
    return state.receiver.receive(request.scope, request.receive)


Images = Annotated[Reception, Depends(_images)]


async def check_query(request: Request) -> None:
    """Raise `InvalidInputError` for a query parameter that is repeated although it is no list."""
    parameters.check_repetitions(request.scope["query_string"])


async def authorize(request: Request, state: State) -> None:
    """Raise a `ServiceError` unless the request may pass the gate.

    It needs a known API key if the settings ask for one, and must be within the rate limit.
    """
    state.gate.check(request.scope)


async def authorize_metrics(request: Request, state: State) -> None:
    """Do the same as `authorize`, but only if the settings ask for an API key for metrics."""
    if state.settings.metrics_access == "key":
        state.gate.check(request.scope)
