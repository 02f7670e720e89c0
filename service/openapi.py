"""The OpenAPI document: what FastAPI derives, plus what it can't know.

Request bodies are read by hand, so their schema is written by hand: file parts have
`format: binary`, which client generators take for a file. Every error has one schema.
"""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from service.encoding import NPZ, TOLD
from service.errors import MEDIA_TYPE, ServiceError
from service.formats import FORMATS
from service.schemas import Problem
from service.uploads import PART

_BINARY = {"type": "string", "format": "binary"}
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_RETRY = {"Retry-After": {"description": "seconds to wait", "schema": {"type": "integer"}}}

IMAGES: dict[str, Any] = {
    "required": True,
    "description": f"One or many images as parts named `{PART}`, or one image as the body.",
    "content": {
        "multipart/form-data": {"schema": {"$ref": "#/components/schemas/Images"}},
        **{media_type: {"schema": _BINARY} for media_type in FORMATS},
    },
}
_IMAGES_SCHEMA = {
    "title": "Images",
    "type": "object",
    "required": [PART],
    "properties": {PART: {"type": "array", "minItems": 1, "items": _BINARY}},
}


def answers(model: type[BaseModel], *, npz: bool = True) -> dict[str, Any]:
    """The response 200 of a route that answers in several formats; JSON by that schema."""
    told = {"description": "what the picture shows, as JSON", "schema": {"type": "string"}}
    return {
        "model": model,
        "content": {
            "image/png": {"schema": _BINARY},
            **({NPZ: {"schema": _BINARY}} if npz else {}),
        },
        "headers": {TOLD: told},
    }


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that can answer with these error statuses."""
    titles = {error.status: error.title for error in ServiceError.__subclasses__()}
    return {
        status: {
            "description": titles.get(status, HTTPStatus(status).phrase),
            "content": {MEDIA_TYPE: {"schema": _PROBLEM}},
            **({"headers": _RETRY} if status in (429, 503) else {}),
        }
        for status in statuses
    }


def document(app: FastAPI, secured: bool) -> dict[str, Any]:
    """The app's OpenAPI document; `secured` says that an API key is asked for."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            separate_input_output_schemas=False,
        )
        components = schema.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        own = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= own.pop("$defs", {})
        schemas |= {"Problem": own, "Images": _IMAGES_SCHEMA}
        if secured:
            components["securitySchemes"] = {"api_key": {"type": "http", "scheme": "bearer"}}
            for path, operations in schema["paths"].items():
                if path.startswith("/v1/"):
                    for operation in operations.values():
                        operation["security"] = [{"api_key": []}]
        app.openapi_schema = schema
    return app.openapi_schema
