"""What routes need: the services that the app holds, the API key, common parameters.

All are coroutines: FastAPI would run a plain function in a thread, each for each request.
"""

import hmac
from typing import Annotated, Literal, cast

from fastapi import Depends, Query, Request
from pydantic import WithJsonSchema
from starlette.types import Scope

from service.budget import Budget
from service.errors import UnauthorizedError
from service.explaining import Lane
from service.images import Decoder
from service.repository import Repository
from service.settings import Settings
from service.uploads import Receiver


async def _settings(request: Request) -> Settings:
    return cast(Settings, request.app.state.settings)


async def _repository(request: Request) -> Repository:
    return cast(Repository, request.app.state.repository)


async def _receiver(request: Request) -> Receiver:
    return cast(Receiver, request.app.state.receiver)


async def _decoder(request: Request) -> Decoder:
    return cast(Decoder, request.app.state.decoder)


async def _budget(request: Request) -> Budget:
    return cast(Budget, request.app.state.budget)


async def _lane(request: Request) -> Lane:
    return cast(Lane, request.app.state.lane)


async def authorize(request: Request, settings: Annotated[Settings, Depends(_settings)]) -> None:
    """Raises `UnauthorizedError` unless the request carries the API key, where one is set."""
    check_key(request.scope, settings)


def check_key(scope: Scope, settings: Settings) -> None:
    """The same for the scope of a request."""
    if settings.api_key is None:
        return
    scheme, _, key = dict(scope["headers"]).get(b"authorization", b"").partition(b" ")
    expected = settings.api_key.get_secret_value().encode()
    if scheme.lower() != b"bearer" or not hmac.compare_digest(key.strip(), expected):
        raise UnauthorizedError("send the header 'Authorization: Bearer KEY' (setting api_key)")


SettingsDependency = Annotated[Settings, Depends(_settings)]
RepositoryDependency = Annotated[Repository, Depends(_repository)]
ReceiverDependency = Annotated[Receiver, Depends(_receiver)]
DecoderDependency = Annotated[Decoder, Depends(_decoder)]
BudgetDependency = Annotated[Budget, Depends(_budget)]
LaneDependency = Annotated[Lane, Depends(_lane)]
FormatQuery = Annotated[
    Literal["json", "npz", "png"],
    Query(description="of the answer; npz is for numpy.load, png draws"),
]
TopKQuery = Annotated[
    int, Query(ge=1, description="classes to list for each image; at most all of them")
]
VersionQuery = Annotated[
    int | None,
    Query(ge=1, description="version of the model; default: the highest that loaded"),
    WithJsonSchema({"type": "integer", "minimum": 1}),
]
