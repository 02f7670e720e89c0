"""Whether the process answers, and whether it should get requests."""

from fastapi import APIRouter

from service import openapi
from service.errors import UnavailableError
from service.routes.dependencies import RepositoryDependency
from service.schemas import Health

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live", operation_id="live", summary="Does it answer?")
async def live() -> Health:
    """The process answers."""
    return Health(status="live")


@router.get(
    "/ready",
    operation_id="ready",
    summary="Should it get requests?",
    responses=openapi.problems(503),
)
async def ready(repository: RepositoryDependency) -> Health:
    """Every model that was there at the start has a version that is verified, loaded and warmed."""
    if reasons := repository.not_ready():
        raise UnavailableError("; ".join(reasons))
    return Health(status="ready")
