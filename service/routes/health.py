"""Whether the process answers, whether it should get requests, and what it has done."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from service import openapi
from service.errors import UnavailableError
from service.routes.dependencies import RepositoryDependency
from service.schemas import Health

router = APIRouter(tags=["health"])


@router.get("/health/live", operation_id="live", summary="Does it answer?")
async def live() -> Health:
    """The process answers."""
    return Health(status="live")


@router.get(
    "/health/ready",
    operation_id="ready",
    summary="Should it get requests?",
    responses=openapi.problems(503),
)
async def ready(repository: RepositoryDependency) -> Health:
    """Every model that was there at the start has a version that is verified, loaded and warmed."""
    if reasons := repository.not_ready():
        raise UnavailableError("; ".join(reasons))
    return Health(status="ready")


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """Requests, batches, models and their runtimes, summed over the workers."""
    exposition = request.app.state.metrics.exposition()
    return Response(exposition, headers={"Content-Type": CONTENT_TYPE_LATEST})
