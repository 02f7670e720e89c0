"""What requests need of the application that answers them, and the API key they bring."""

import asyncio
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request

from service import api_key
from service.images.decoding import Decoder
from service.inspection import Inspector
from service.metrics import Metrics
from service.prediction import Predictor
from service.repository.repository import Repository
from service.requests.reception import Receiver, Reception
from service.settings import Settings


@dataclass(eq=False)
class AppState:
    """The state of an application. Fields with `init=False` are set while it runs."""

    settings: Settings
    receiver: Receiver
    metrics: Metrics
    draining: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    """Set once the server will end, although it still answers."""
    repository: Repository = field(init=False)
    decoder: Decoder = field(init=False)
    predictor: Predictor = field(init=False)
    inspector: Inspector = field(init=False)


# coroutines: FastAPI would run a plain function in a thread, for each request
async def _state(request: Request) -> AppState:
    return cast(AppState, request.app.state)


State = Annotated[AppState, Depends(_state)]


async def _images(request: Request, state: State) -> Reception:
    return state.receiver.receive(request.scope, request.receive)


Images = Annotated[Reception, Depends(_images)]


async def authorize(request: Request, state: State) -> None:
    """Raises `UnauthorizedError` unless the request carries the API key, where one is set."""
    api_key.check(request.scope["headers"], state.settings)
