"""What models there are, and what each of them is."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from service.requests.parameters import ModelParameters, NoParameters
from service.responses import models, openapi
from service.responses.models import ModelDetail, ModelList, ModelSummary
from service.state import State, authorize

router = APIRouter(prefix="/v1/models", tags=["models"], dependencies=[Depends(authorize)])


@router.get(
    "",
    operation_id="list_models",
    summary="List the models",
    response_description="The models by name, each with its versions and their states",
    response_model_exclude_none=True,
    responses=openapi.problems(401, 422, 429, 503),
)
async def list_models(_: Annotated[NoParameters, Query()], state: State) -> ModelList:
    """The models, their versions and states."""
    repository = state.repository
    return ModelList(
        models=[
            ModelSummary(name=name, versions=models.states(repository.versions(name)))
            for name in repository.names()
        ]
    )


@router.get(
    "/{model}",
    operation_id="get_model",
    summary="Describe a model",
    response_description="The card of the model, its layers, and what it can be asked",
    response_model_exclude_none=True,
    responses=openapi.problems(401, 404, 422, 429, 503),
)
async def get_model(
    model: str, asked: Annotated[ModelParameters, Query()], state: State
) -> ModelDetail:
    """The card of a model (labels, input, metrics, how it was trained) and its layers."""
    serving = state.repository.get(model, asked.version)
    return models.detail(serving, state.repository.versions(model))
