"""How much of the image each layer of a network sees."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from service.requests.parameters import ModelParameters
from service.responses import openapi
from service.responses.inside.receptive_fields import ReceptiveFields
from service.state import State, authorize

router = APIRouter(prefix="/v1/models", tags=["look inside"], dependencies=[Depends(authorize)])


@router.get(
    "/{model}/receptive-fields",
    operation_id="receptive_fields",
    summary="How much of the image each layer sees",
    response_description="The size and the step of the receptive field of each layer and block",
    response_model_exclude_none=True,
    responses=openapi.problems(401, 404, 422, 429, 503, 504),
)
async def receptive_fields(
    request: Request, model: str, asked: Annotated[ModelParameters, Query()], state: State
) -> ReceptiveFields:
    """The receptive fields of layers and blocks, measured by gradients when a version is first
    asked for them: that takes some seconds for a large network.
    """
    with state.receiver.attend(request.receive):
        return await state.inspector.receptive_fields(model, asked)
