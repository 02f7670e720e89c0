"""Errors → responses: `ServiceError` → application/problem+json (RFC 9457).

One handler serves every `ServiceError`. Errors of Starlette and FastAPI (no such route, an invalid
parameter) get the same format.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import quote

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import Scope

from service.errors import ImageFault, QueueFullError, ServiceError, invalid_parameters
from service.responses.addresses import Addresses
from service.responses.schemas import ImageProblem, Problem

RawHeaders = list[tuple[bytes, bytes]]
MEDIA_TYPE = "application/problem+json"
_V2 = "/v2"
REFUSED = "fanlight.refused"
"""Key of an ASGI scope for the reason why its request got no answer."""
ROOT = "fanlight.root"
"""Key of an ASGI scope for the setting root_path, which clients see before each path."""
LATE = "fanlight.late"
"""Key of an ASGI scope for the status of a problem at the end of an answer of status 200."""
_NO_ANSWER = (401, 408, 413, 429, 499, 500, 503, 504)  # statuses


def install(app: FastAPI, addresses: Addresses) -> None:
    """Answer every error of the app with a problem document.

    If nothing is at a path, or if it takes other methods, the error tells what `addresses` has.
    """

    async def http_exception(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101
        return _http_exception(request, error, addresses)

    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(HTTPException, http_exception)
    app.add_exception_handler(RequestValidationError, _invalid_parameter)
    app.add_exception_handler(Exception, _unexpected)


def unexpected(scope: Scope) -> JSONResponse:
    """The response 500, for an unexpected exception."""
    return response(
        ServiceError("the server failed on this request; its log says why, under the request_id"),
        scope,
    )


def problem(
    status: int,
    title: str,
    detail: str,
    scope: Scope,
    images: Sequence[ImageFault] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return the response for a problem with the request of this scope.

    Under /v2 its body is `{"error": …}`, as clients of the Open Inference Protocol expect it.
    """
    path = scope["path"]
    if path == _V2 or path.startswith(f"{_V2}/"):
        faults = [f"image {each.index}: {each.reason}" for each in images]
        text = "; ".join([detail, *(each for each in faults if each not in detail)])
        return JSONResponse({"error": text}, status, dict(headers or {}))
    document = Problem(
        type=_urn(title),
        title=title,
        status=status,
        detail=detail,
        instance=_instance(scope),
        request_id=scope["state"]["request_id"],
        errors=[ImageProblem(**vars(each)) for each in images] or None,
    )
    return JSONResponse(
        document.model_dump(exclude_none=True), status, dict(headers or {}), media_type=MEDIA_TYPE
    )


def response(error: ServiceError, scope: Scope) -> JSONResponse:
    """Return the response for an error, and store its reason in the scope (`REFUSED`)."""
    scope[REFUSED] = _reason(error)
    return problem(error.status, error.title, error.detail, scope, error.images, error.headers)


def encode(error: QueueFullError, scope: Scope, retry_after: int) -> tuple[int, RawHeaders, bytes]:
    """Return status, headers and body of the answer for a full queue.

    It is what `response` makes for the /v1 API, with `retry_after`, in seconds, as `Retry-After`.
    It is separate because a full server must refuse quickly. Like `response`, it stores the reason
    in the scope, for the metrics.
    """
    scope[REFUSED] = _reason(error)
    body = orjson.dumps(
        {
            "type": _urn(error.title),
            "title": error.title,
            "status": error.status,
            "detail": error.detail,
            "instance": _instance(scope),
            "request_id": scope["state"]["request_id"],
        }
    )
    headers = [
        (b"retry-after", b"%d" % retry_after),
        (b"content-length", b"%d" % len(body)),
        (b"content-type", MEDIA_TYPE.encode()),
    ]
    return error.status, headers, body


def _instance(scope: Scope) -> str:
    """Return the path of the request as its client sees it, percent-encoded."""
    return quote(scope.get(ROOT, "") + scope["path"])


def _reason(error: ServiceError) -> str | None:
    """Return the reason of a refusal as a word for metrics; None if the request was wrong."""
    return _urn(error.title).rpartition(":")[2] if error.status in _NO_ANSWER else None


@lru_cache
def _urn(title: str) -> str:
    return f"urn:fanlight:{title.lower().replace(' ', '-')}"


async def _service_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)  # noqa: S101 (registered for nothing else)
    return response(error, request.scope)


async def _unexpected(request: Request, _error: Exception) -> JSONResponse:
    return unexpected(request.scope)


def _http_exception(request: Request, error: HTTPException, addresses: Addresses) -> JSONResponse:
    scope, detail, headers = request.scope, error.detail, error.headers
    root = scope.get(ROOT, "")
    path, prefix = root + scope["path"], root + addresses.root(scope.get("root_path", ""))
    local = path.removeprefix(prefix)
    if error.status_code == HTTPStatus.NOT_FOUND:
        slash = "; addresses have no slash at the end" if path.endswith("/") else ""
        near = addresses.meant(local)
        meant = f"did you mean {prefix}{near}? " if near else ""
        detail = f"there is nothing at {path}{slash}; {meant}{prefix}/docs lists what there is"
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        listed = (headers or {}).get("Allow", "GET, HEAD")  # of files, which tell none
        possible = ", ".join(addresses.methods(local) or sorted(listed.split(", ")))
        detail = f"{request.method} is not possible here; possible: {possible}"
        headers = {"Allow": possible}
    return problem(
        error.status_code,
        HTTPStatus(error.status_code).phrase,
        detail,
        scope,
        headers=headers,
    )


async def _invalid_parameter(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    found = [{**each, "loc": each["loc"][1:]} for each in error.errors()]  # "query", say
    return response(invalid_parameters(found), request.scope)
