"""Pages for people: the playground, and the documentation of the API; every asset is from here."""

import os
from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import APIRouter, FastAPI, Request
from starlette.responses import JSONResponse, Response
from starlette.staticfiles import StaticFiles

from service.responses import openapi_3_0

STATIC = Path(__file__).parents[1] / "static"
SWAGGER_UI = Path(fastapi_offline.__file__).parent / "static"
_STRICT = "object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
PLAYGROUND = f"default-src 'self'; img-src 'self' data: blob:; {_STRICT}"
DOCS = f"default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; {_STRICT}"
CACHED = "no-cache"  # kept, but asked for by ETag: a new page must not meet old modules

router = APIRouter(include_in_schema=False)


class Assets(StaticFiles):
    """Static files that browsers keep until they change."""

    def file_response(self, path: Any, stat: os.stat_result, *others: Any) -> Response:
        response = super().file_response(path, stat, *others)
        response.headers["Cache-Control"] = CACHED
        return response


_ASSETS = Assets(directory=STATIC)
ASSETS = {"/docs/swagger-ui": Assets(directory=SWAGGER_UI), "/static": _ASSETS}
"""The files that the pages load, by the beginning of their paths."""


def mount_assets(app: FastAPI) -> None:
    """Serve the files that the pages load."""
    for path, assets in ASSETS.items():
        app.mount(path, assets)


@router.get("/")
async def playground(request: Request) -> Response:
    return await _page(request, "index.html", PLAYGROUND)


@router.get("/openapi-3.0.json")
async def older_document(request: Request) -> JSONResponse:
    """The API's description for generators that do not know OpenAPI 3.1."""
    return JSONResponse(openapi_3_0.rendering(request.app.openapi()))


@router.get("/docs")
async def docs(request: Request) -> Response:
    return await _page(request, "docs.html", DOCS)


async def _page(request: Request, name: str, policy: str) -> Response:
    """The page, or 304 if the browser has it."""
    response = await _ASSETS.get_response(name, request.scope)
    response.headers["Content-Security-Policy"] = policy
    response.headers["Referrer-Policy"] = response.headers["Cross-Origin-Opener-Policy"] = (
        "same-origin"
    )
    return response
