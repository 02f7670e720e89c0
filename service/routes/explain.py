"""Images → heat maps: which pixels support a class."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response

from service.requests.parameters import ExplainParameters
from service.responses import lines, openapi
from service.responses.inside.explanations import Explanations
from service.state import Images, State, authorize

router = APIRouter(prefix="/v1/models", tags=["look inside"], dependencies=[Depends(authorize)])


@router.post(
    "/{model}/explain",
    operation_id="explain",
    summary="Which pixels speak for a class?",
    response_description="A heat map for each image, and its prediction",
    openapi_extra={"requestBody": openapi.IMAGES},
    response_class=Response,
    responses=openapi.answers(Explanations, lines.CONTENT)
    | openapi.problems(
        *openapi.OF_IMAGES,
        but={404: openapi.NO_LAYER, 422: f"{openapi.NOT_FINITE}; or the method does not fit"},
    ),
)
async def explain(
    model: str,
    asked: Annotated[ExplainParameters, Query()],
    images: Images,
    state: State,
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """How much each pixel supports a class, by one of several methods.

    The response is JSON, arrays `(N, H, W)` for `numpy.load`, or a PNG of one image. Explanations
    run one at a time, with lower priority than predictions. One whose client leaves is given up.

    With `Accept: application/x-ndjson` the response is a stream of lines: first how far the work
    is, such as `{"done": 192, "of": 454}`, then the JSON.
    """
    work = partial(state.inspector.explain, model, asked, images)
    return await lines.answer(work, accept, asked.format)
