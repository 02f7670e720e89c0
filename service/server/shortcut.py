"""A short way for predictions, in front of FastAPI's router.

A FastAPI route takes more time than decoding a small image and its share of a forward pass. The
route of `service.routes.predict` is for the OpenAPI document and for applications that mount this
one. Both call `prediction.Predictor.predict`.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import ServiceError
from service.requests import parameters
from service.requests.asgi_door import AsgiDoor
from service.requests.parameters import PredictParameters
from service.responses import predictions, problems
from service.state import AppState

_PREFIX, _SUFFIX = "/v1/models/", "/predict"  # the model's name


def model_of(path: str) -> str | None:
    """Return the model in the path of a prediction; None for any other path."""
    if not (path.startswith(_PREFIX) and path.endswith(_SUFFIX)):
        return None
    model = path[len(_PREFIX) : -len(_SUFFIX)]
    return model if model and "/" not in model else None


class Shortcut:
    """ASGI middleware in front of the router, for `POST /v1/models/{model}/predict`."""

    def __init__(self, app: ASGIApp, state: AppState) -> None:
        self._app, self._state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["type"] == "http" and scope["method"] == "POST"
        model = model_of(scope["path"]) if asked else None
        if model is None:
            await self._app(scope, receive, send)
            return
        scope["operation"] = "predict"
        state = self._state
        door = AsgiDoor(state.receiver, scope, receive)
        try:
            asked_for = parameters.parse(PredictParameters, scope["query_string"])
            predicted = await state.predictor.predict(scope, model, asked_for, door)
        except ServiceError as error:
            await problems.response(error, scope)(scope, receive, send)
            return
        status, headers, body = predictions.encode(predicted, asked_for)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
