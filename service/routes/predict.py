"""Images in, classes out."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from service.requests.asgi_door import AsgiDoor
from service.requests.parameters import PredictParameters
from service.responses import openapi, predictions
from service.responses.predictions import Predictions
from service.state import State

router = APIRouter(prefix="/v1/models", tags=["predict"])


@router.post(
    "/{model}/predict",
    operation_id="predict",
    summary="Classify images",
    response_description="A prediction for each image, in the order of the images",
    response_model=Predictions,
    openapi_extra={"requestBody": openapi.IMAGES},
    responses=openapi.problems(*openapi.OF_IMAGES, but={422: openapi.NOT_FINITE}),
)
async def predict(
    request: Request, model: str, asked: Annotated[PredictParameters, Query()], state: State
) -> Response:
    """Classify one image or many; the predictions come in the order of the images."""
    door = AsgiDoor(state.receiver, request.scope, request.receive)
    predicted = await state.predictor.predict(request.scope, model, asked, door)
    status, headers, body = predictions.encode(predicted, asked)
    response = Response(body, status)
    response.raw_headers = headers
    return response
