"""Images in, classes out.

`Shortcut` answers these requests before anything is routed: FastAPI's way through a route costs
more than decoding a small image and its share of a forward pass. The route is there all the same,
for the OpenAPI document and for applications that mount this one; both call `predict`.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from models.checkpoint import Card
from service import errors, openapi
from service.engine import Answer
from service.errors import ServiceError
from service.routes.dependencies import TopKQuery, VersionQuery, check_key
from service.schemas import Predictions
from service.services import Services

BATCH_SIZE = "X-Batch-Size"  # of the largest batch that an image of the request ran in
_BEFORE, _BEHIND = "/v1/models/", "/predict"  # the model's name
_JSON = (b"content-type", b"application/json")

router = APIRouter(prefix="/v1/models", tags=["predict"])


class Query(BaseModel):
    """What may be asked for."""

    version: VersionQuery = None
    top_k: TopKQuery = 5


@router.post(
    "/{model}/predict",
    operation_id="predict",
    summary="Classify images",
    response_model=Predictions,
    openapi_extra={"requestBody": openapi.IMAGES},
    responses=openapi.problems(400, 401, 404, 408, 413, 415, 422, 429, 503, 504),
)
async def route(
    request: Request, model: str, version: VersionQuery = None, top_k: TopKQuery = 5
) -> Response:
    """Classify one image or many; the predictions come in the order of the images."""
    query = Query.model_construct(version=version, top_k=top_k)
    services: Services = request.app.state
    body, batch_size = await predict(services, request.scope, request.receive, model, query)
    headers = {BATCH_SIZE: str(batch_size)}
    return Response(body, media_type="application/json", headers=headers)


async def predict(
    services: Services, scope: Scope, receive: Receive, model: str, query: Query
) -> tuple[bytes, int]:
    """The answer in JSON, and the size of the largest batch; raises a `ServiceError`."""
    check_key(scope, services.settings)
    loaded = services.repository.ready(model, query.version)
    card = loaded.checkpoint.card
    async with services.receiver.receive(scope, receive) as uploads:
        pixels = await services.decoder.pixels(uploads, card.input)
        answers = await loaded.batcher.submit(pixels)
    return told(card, answers, query)


def told(card: Card, answers: Sequence[Answer], query: Query) -> tuple[bytes, int]:
    """`schemas.Predictions` in JSON, and the size of the largest batch."""
    predictions = [prediction(card, each.probabilities, query.top_k) for each in answers]
    body = {"model": card.name, "version": card.version, "predictions": predictions}
    return orjson.dumps(body), max(each.batch_size for each in answers)


def prediction(card: Card, probabilities: Sequence[float], top_k: int) -> dict[str, Any]:
    """The most probable class, and the `top_k` most probable ones, as `schemas.Prediction`."""
    ranked = sorted(range(len(probabilities)), key=probabilities.__getitem__, reverse=True)
    labels = card.labels
    top = [{"label": labels[index], "score": probabilities[index]} for index in ranked[:top_k]]
    return {**top[0], "top": top}


class Shortcut:
    """ASGI middleware in front of the router, for `POST /v1/models/{model}/predict`."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app, self._services = app, services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["type"] == "http" and scope["method"] == "POST"
        model = model_of(scope["path"]) if asked else None
        if model is None:
            await self._app(scope, receive, send)
            return
        scope["operation"] = "predict"
        try:
            query = query_of(scope["query_string"])
            body, batch_size = await predict(self._services, scope, receive, model, query)
        except ServiceError as error:
            await errors.response(error, scope)(scope, receive, send)
            return
        headers = headers_of(body, batch_size)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def headers_of(body: bytes, batch_size: int) -> list[tuple[bytes, bytes]]:
    return [
        _JSON,
        (b"content-length", b"%d" % len(body)),
        (b"x-batch-size", b"%d" % batch_size),
    ]


def model_of(path: str) -> str | None:
    """Whom a POST to this path asks for a prediction, if it does."""
    if not (path.startswith(_BEFORE) and path.endswith(_BEHIND)):
        return None
    model = path[len(_BEFORE) : -len(_BEHIND)]
    return model if model and "/" not in model else None


_ASKED_FOR_NOTHING = Query()


def query_of(encoded: bytes) -> Query:
    """Raises `InvalidInputError` as FastAPI's route does."""
    if not encoded:
        return _ASKED_FOR_NOTHING
    given: Mapping[str, str] = dict(parse_qsl(encoded.decode("latin-1"), keep_blank_values=True))
    try:
        return Query.model_validate(given)
    except ValidationError as error:
        raise errors.invalid_parameters(error.errors()) from error
