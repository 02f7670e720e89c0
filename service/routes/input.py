"""Images in, the network's own view of them out."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from service.requests.parameters import InputParameters
from service.responses import openapi
from service.responses.inside.inputs import Inputs
from service.state import Images, State, authorize

router = APIRouter(prefix="/v1/models", tags=["look inside"], dependencies=[Depends(authorize)])


@router.post(
    "/{model}/input",
    operation_id="input",
    summary="Images as the network gets them",
    response_description="The pixels of each image, at the size of the network's input",
    openapi_extra={"requestBody": openapi.IMAGES},
    response_class=Response,
    responses=openapi.answers(Inputs, npz=False)
    | openapi.problems(*openapi.OF_IMAGES, but={422: openapi.BAD_IMAGE}),
)
async def inputs(
    model: str, asked: Annotated[InputParameters, Query()], images: Images, state: State
) -> Response:
    """The images cut and scaled to the network's input, before normalisation."""
    return await state.inspector.input(model, asked, images)
