"""Whether the process answers, whether it should get requests, and what it has done."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response
from prometheus_client import CONTENT_TYPE_LATEST

from service.requests.parameters import NoParameters
from service.responses import openapi
from service.responses.schemas import Schema
from service.state import State, authorize_metrics

router = APIRouter(tags=["health"])


class Health(Schema):
    status: Literal["live", "ready"]


@router.get(
    "/health/live",
    operation_id="live",
    summary="Does it answer?",
    response_description="The process answers",
    responses=openapi.problems(422),
)
async def live(_: Annotated[NoParameters, Query()]) -> Health:
    """The process answers."""
    return Health(status="live")


@router.get(
    "/health/ready",
    operation_id="ready",
    summary="Should it get requests?",
    response_description="Send it requests",
    responses=openapi.problems(422, 503, but={503: "A model is not ready, or the server ends"}),
)
async def ready(_: Annotated[NoParameters, Query()], state: State) -> Health:
    """Every model that was there at the start has a version that is verified, loaded and warmed.

    Not once the server has been told to end, although it still answers other requests.
    """
    state.check_ready()
    return Health(status="ready")


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    dependencies=[Depends(authorize_metrics)],
    response_description="The figures, in the text format of Prometheus",
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        **openapi.problems(
            *(401, 404, 422, 429, 503), but={404: "Another port has them (setting metrics_port)"}
        ),
    },
)
async def metrics(_: Annotated[NoParameters, Query()], state: State) -> Response:
    """Requests, batches, models and their runtimes, summed over the workers."""
    exposition = state.metrics.exposition()
    return Response(exposition, headers={"Content-Type": CONTENT_TYPE_LATEST})
