"""The OpenAPI document: what FastAPI derives, plus what it can't know.

Request bodies are read by hand, so their schema is written by hand: file parts have
`format: binary`, which client generators take for a file. Every error has one schema.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from models.images import formats as image_formats
from service.requests.bodies import FORM, PART, PARTS
from service.requests.json_body import JSON
from service.responses import examples
from service.responses.arrays import NPZ, TOLD
from service.responses.problems import MEDIA_TYPE
from service.responses.schemas import Problem
from service.settings import Settings

Responses = dict[int | str, dict[str, Any]]  # as FastAPI's decorators take them
_BINARY = {"type": "string", "format": "binary"}
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_RETRY = {"Retry-After": {"description": "seconds to wait", "schema": {"type": "integer"}}}
_PROBLEMS = {  # what each status of an error means, where an operation does not say otherwise
    400: "The body is not what its Content-Type says",
    401: "The API key is missing or wrong; only a service that asks for one answers this",
    404: "There is no such model, or no such version of it",
    408: "The body did not arrive in time (setting request_timeout)",
    413: "The request, or the answer that it asks for, is over a limit; `detail` names it",
    415: "The body or a part of it is not an image of a type that is taken",
    422: "A query parameter is unknown, or its value is not allowed",
    429: "This client asks too often, or too many requests wait already",
    503: "The service, or the version of the model, can't answer now; `detail` says why",
    504: "The answer was not ready in time (setting request_timeout)",
}
OF_IMAGES = tuple(_PROBLEMS)  # the statuses of an operation that takes images
NO_LAYER = "There is no such model, version or layer"
BAD_IMAGE = "A query parameter is not allowed, or the body or one of its images can't be used"
NOT_FINITE = f"{BAD_IMAGE}, or the network gives no finite numbers for an image"

IMAGES: dict[str, Any] = {  # clients of openapi-generator would send JSON if it stood here
    "required": True,
    "description": f"One or many images as parts named `{PART}` (taken too: "
    f"{', '.join(f'`{name}`' for name in PARTS[1:])}), or one image as the body: "
    f"`curl -F {PART}=@7.png ADDRESS`, `curl -H 'Content-Type: image/png' --data-binary @7.png "
    "ADDRESS`. Also as JSON: "
    '`{"images": ["…", …]}` or `{"image": "…"}` with base64, base64url or data URLs, which stands '
    "here alone, since generated clients would take it for the usual way. "
    f"Taken are {image_formats.taken()}. The bytes decide what an image is; its declared "
    "type is a hint, and may be absent.",
    "content": {
        FORM: {"schema": {"$ref": "#/components/schemas/Images"}},
        **{each: {"schema": _BINARY} for each in sorted(image_formats.by_media_type())},
    },
}
_IMAGES_SCHEMA = {
    "title": "Images",
    "type": "object",
    "required": [PART],
    "properties": {PART: {"type": "array", "items": _BINARY}},
}


def answers(
    model: type[BaseModel], more: Mapping[str, Any] = MappingProxyType({}), *, npz: bool = True
) -> Responses:
    """Return the `responses` of a route that answers in several formats; `model` is that of JSON.

    `more` are further formats, by media type.
    """
    told = {"description": "what the picture shows, as JSON", "schema": {"type": "string"}}
    content: dict[str, Any] = {
        JSON: {},  # first, for generators take the first type; FastAPI puts the schema in
        "image/png": {"schema": _BINARY},
        **({NPZ: {"schema": _BINARY}} if npz else {}),
        **more,
    }
    return {200: {"model": model, "content": content, "headers": {TOLD: told}}}


def problems(*statuses: int, but: Mapping[int, str] = MappingProxyType({})) -> Responses:
    """The `responses` of a route that can answer with these error statuses.

    `but` are descriptions of statuses that mean something else, or more, for this route.
    """
    meanings = {**_PROBLEMS, **but}
    return {
        status: {
            "description": meanings[status],
            "content": {MEDIA_TYPE: {"schema": _PROBLEM}},
            **({"headers": _RETRY} if status in (429, 503) else {}),
        }
        for status in statuses
    }


def document(app: FastAPI, settings: Settings) -> dict[str, Any]:
    """Return the app's OpenAPI document.

    It marks the operations that need an API key with these settings.
    """
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            contact=app.contact,
            servers=app.servers,
            tags=app.openapi_tags,
            routes=app.routes,
            separate_input_output_schemas=False,
        )
        components = schema.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        own = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= own.pop("$defs", {})
        schemas |= {
            "Problem": own,
            "Images": _IMAGES_SCHEMA,
        }
        if settings.asks_for_key:
            components["securitySchemes"] = {"api_key": {"type": "http", "scheme": "bearer"}}
            also = ["/metrics"] if settings.metrics_access == "key" else []
            for path, operations in schema["paths"].items():
                if path.startswith("/v1/") or path in also:
                    for operation in operations.values():
                        operation["security"] = [{"api_key": []}]
        for operations in schema["paths"].values():
            for operation in operations.values():
                examples.add(operation)
        schema["components"] = _without_tuples(components)
        app.openapi_schema = schema
    return app.openapi_schema


def _without_tuples(schema: Any) -> Any:
    """Return the JSON Schema with every tuple written as a list of that length.

    A tuple is `prefixItems`, a schema for each item. It becomes `items`, one schema that fits all
    of them: many generators do not know `prefixItems`, and linters ask for `items` of every list.
    """
    if isinstance(schema, list):
        return [_without_tuples(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _without_tuples(value) for name, value in schema.items()}
    if isinstance(parts := found.pop("prefixItems", None), list):
        distinct = [each for number, each in enumerate(parts) if each not in parts[:number]]
        found["items"] = distinct[0] if len(distinct) == 1 else {"anyOf": distinct}
    return found
