"""Images → heat maps: which pixels support a class."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from service.requests.parameters import ExplainParameters
from service.responses import openapi
from service.responses.explanations import Explanations
from service.state import Images, State, authorize

router = APIRouter(prefix="/v1/models", tags=["look inside"], dependencies=[Depends(authorize)])


@router.post(
    "/{model}/explain",
    operation_id="explain",
    summary="Which pixels speak for a class?",
    openapi_extra={"requestBody": openapi.IMAGES},
    response_class=Response,
    responses=openapi.answers(Explanations) | openapi.problems(*openapi.OF_IMAGES),
)
async def explain(
    model: str, asked: Annotated[ExplainParameters, Query()], images: Images, state: State
) -> Response:
    """How much each pixel supports a class, by one of several methods.

    The response is JSON, arrays `(N, H, W)` for `numpy.load`, or a PNG of one image. Explanations
    run one at a time, with lower priority than predictions.
    """
    return await state.inspector.explain(model, asked, images)
