"""What routes need: the services that the app holds, the API key, common parameters."""

import hmac
from typing import Annotated, cast

from fastapi import Depends, Query, Request
from pydantic import WithJsonSchema

from service.errors import UnauthorizedError
from service.images import Decoder
from service.repository import Repository
from service.settings import Settings
from service.uploads import Receiver


def _settings(request: Request) -> Settings:
    return cast(Settings, request.app.state.settings)


def _repository(request: Request) -> Repository:
    return cast(Repository, request.app.state.repository)


def _receiver(request: Request) -> Receiver:
    return cast(Receiver, request.app.state.receiver)


def _decoder(request: Request) -> Decoder:
    return cast(Decoder, request.app.state.decoder)


def authorize(request: Request, settings: Annotated[Settings, Depends(_settings)]) -> None:
    """Raises `UnauthorizedError` unless the request carries the API key, where one is set."""
    if settings.api_key is None:
        return
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    expected = settings.api_key.get_secret_value().encode()
    if scheme.lower() != "bearer" or not hmac.compare_digest(
        key.strip().encode("latin-1"), expected
    ):
        raise UnauthorizedError("send the header 'Authorization: Bearer KEY' (setting api_key)")


SettingsDependency = Annotated[Settings, Depends(_settings)]
RepositoryDependency = Annotated[Repository, Depends(_repository)]
ReceiverDependency = Annotated[Receiver, Depends(_receiver)]
DecoderDependency = Annotated[Decoder, Depends(_decoder)]
VersionQuery = Annotated[
    int | None,
    Query(ge=1, description="version of the model; default: the highest that loaded"),
    WithJsonSchema({"type": "integer", "minimum": 1}),
]
