"""Pages for people: the documentation of the API, with every asset from this server."""

from pathlib import Path

import fastapi_offline
from fastapi import APIRouter, FastAPI
from starlette.responses import FileResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

STATIC = Path(__file__).parents[1] / "static"
SWAGGER_UI = Path(fastapi_offline.__file__).parent / "static"
POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'"

router = APIRouter(include_in_schema=False)


def mount_assets(app: FastAPI) -> None:
    """Serve the files that the pages load."""
    app.mount("/docs/swagger-ui", StaticFiles(directory=SWAGGER_UI))
    app.mount("/static", StaticFiles(directory=STATIC))


@router.get("/")
async def home() -> RedirectResponse:
    return RedirectResponse("docs")


@router.get("/docs")
async def docs() -> FileResponse:
    headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}
    return FileResponse(STATIC / "docs.html", headers=headers)
