"""Endpoints of other servers, for clients that can't be changed.

SageMaker: `/ping`, `/invocations`. TensorFlow Serving: `/v1/models/{model}:predict`. TorchServe, if
a setting allows it: `/predictions/{model}`. Each calls `Predictor.predict`. Their own projects
describe them, so they are not in our OpenAPI document.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from service.errors import InvalidInputError, NotFoundError, TooLargeError
from service.inference.engine import PredictionResult
from service.prediction import Predicted
from service.requests.asgi_door import AsgiDoor
from service.requests.instances import InstancesBody
from service.requests.parameters import NoParameters, PredictParameters
from service.responses import predictions
from service.responses.other_protocols import other_servers
from service.state import AppState, State, authorize

router = APIRouter(include_in_schema=False)
Nothing = Annotated[NoParameters, Query()]
_WITHOUT_DOUBTS = PredictParameters(familiarity=False)


@router.get("/ping", operation_id="ping")
async def ping(_: Nothing, state: State) -> dict[str, str]:
    """Whether the service is ready, as SageMaker and TorchServe ask."""
    state.check_ready()
    return {"status": "Healthy"}


@router.post("/invocations", operation_id="invocations", dependencies=[Depends(authorize)])
async def invocations(
    request: Request, asked: Annotated[PredictParameters, Query()], state: State
) -> Response:
    """What `predict` answers, for the model of the setting, or the only one."""
    door = AsgiDoor(state.receiver, request.scope, request.receive)
    model = _model_of_invocations(state)
    predicted = await state.predictor.predict(request.scope, model, asked, door)
    status, headers, body = predictions.encode(predicted, asked)
    response = Response(body, status)
    response.raw_headers = headers
    return response


def _model_of_invocations(state: AppState) -> str:
    if state.settings.invocations_model is not None:
        return state.settings.invocations_model
    names = state.repository.names()
    if len(names) != 1:
        raise InvalidInputError(
            f"there are {len(names)} models, {', '.join(names) or 'none'}: the setting "
            "invocations_model says which one /invocations asks"
        )
    return names[0]


@router.post("/v1/models/{model}:predict", operation_id="tensorflow_predict")
@router.post("/v1/models/{model}/versions/{version}:predict", operation_id="tensorflow_version")
async def tensorflow_predict(
    _: Nothing, request: Request, state: State, model: str, version: int | None = None
) -> dict[str, Any]:
    """The probabilities of each instance."""
    asked = _WITHOUT_DOUBTS.model_copy(update={"version": version})
    door = AsgiDoor(state.receiver, request.scope, request.receive, InstancesBody)
    predicted = await state.predictor.predict(request.scope, model, asked, door)
    return other_servers.tensorflow_serving(predicted.results)


@router.post("/predictions/{model}", operation_id="torchserve_predictions")
@router.post("/predictions/{model}/{version}", operation_id="torchserve_version")
@router.put("/predictions/{model}", operation_id="torchserve_put")
@router.put("/predictions/{model}/{version}", operation_id="torchserve_put_version")
async def torchserve_predictions(
    _: Nothing, request: Request, state: State, model: str, version: int | None = None
) -> dict[str, float]:
    """The most probable labels of one image."""
    if state.settings.torchserve_paths == "off":
        raise NotFoundError(
            "TorchServe's addresses are answered where the setting torchserve_paths is 'on'; "
            f"/v1/models/{model}/predict answers in any case"
        )
    asked = _WITHOUT_DOUBTS.model_copy(update={"version": version})
    door = AsgiDoor(state.receiver, request.scope, request.receive)
    predicted = await state.predictor.predict(request.scope, model, asked, door)
    return other_servers.torchserve(predicted.card, _only(predicted))


def _only(predicted: Predicted) -> PredictionResult:
    if len(predicted.results) != 1:
        raise TooLargeError(
            f"{len(predicted.results)} images; TorchServe's addresses take one in a request, "
            f"/v1/models/{predicted.card.name}/predict takes many"
        )
    return predicted.results[0]
