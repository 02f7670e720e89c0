"""Images → activations of the layers of a network."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from service.requests.parameters import FeaturesParameters
from service.responses import openapi
from service.responses.inside.features import Features
from service.state import Images, State, authorize

router = APIRouter(prefix="/v1/models", tags=["look inside"], dependencies=[Depends(authorize)])


@router.post(
    "/{model}/features",
    operation_id="features",
    summary="Feature maps of images",
    response_description="The activations of the layers, and a prediction for each image",
    openapi_extra={"requestBody": openapi.IMAGES},
    response_class=Response,
    responses=openapi.answers(Features)
    | openapi.problems(*openapi.OF_IMAGES, but={404: openapi.NO_LAYER, 422: openapi.NOT_FINITE}),
)
async def features(
    model: str, asked: Annotated[FeaturesParameters, Query()], images: Images, state: State
) -> Response:
    """The activations of any layers for one image or many, with the predictions of the same pass.

    The response is JSON, arrays `(N, C, H, W)` by layer for `numpy.load`, or a PNG of the channels
    of one image and one layer.
    """
    return await state.inspector.features(model, asked, images)
