"""The weights of a layer, as numbers and as pictures."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from service.requests.parameters import KernelsParameters
from service.responses import openapi
from service.responses.inside.kernels import Kernels
from service.state import State, authorize

router = APIRouter(prefix="/v1/models", tags=["look inside"], dependencies=[Depends(authorize)])


@router.get(
    "/{model}/kernels/{layer:path}",
    operation_id="kernels",
    summary="Weights of a layer",
    response_description="The weights, their shape, and the least and greatest of them",
    response_class=Response,
    responses=openapi.answers(Kernels)
    | openapi.problems(*(401, 404, 413, 422, 429, 503, 504), but={404: openapi.NO_LAYER}),
)
async def kernels(
    request: Request,
    model: str,
    layer: Annotated[str, Path(description="a convolution or a linear layer, by its name")],
    asked: Annotated[KernelsParameters, Query()],
    state: State,
) -> Response:
    """Kernels (out, in, H, W) of a convolution; of a linear layer templates (out, C, H, W) where it
    takes what was a map or the picture, else (out, in).

    As JSON, as arrays for `numpy.load`, or as a picture: of three input channels in colour, else in
    grey, a row per output and a column per input channel.
    """
    with state.receiver.attend(request.receive):
        return await state.inspector.kernels(model, layer, asked)
