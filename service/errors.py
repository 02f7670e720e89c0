"""Errors as the client sees them: `ServiceError` → application/problem+json (RFC 9457).

Everything that goes wrong on purpose is a `ServiceError`; one handler answers them. What Starlette
and FastAPI raise themselves (no such route, an invalid parameter) is turned into one first.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import Scope

from service.schemas import ImageProblem, Problem

MEDIA_TYPE = "application/problem+json"
RETRY_SOON: Mapping[str, str] = {"Retry-After": "1"}


class ServiceError(Exception):
    """An error with an HTTP status; `detail` says what was wrong and what is allowed."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, detail: str, images: Sequence[ImageProblem] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.images = tuple(images)


class MalformedBodyError(ServiceError):
    status, title = 400, "Malformed body"


class UnauthorizedError(ServiceError):
    status, title = 401, "API key missing or wrong"
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": "Bearer"}


class NotFoundError(ServiceError):
    status, title = 404, "Not found"


class SlowBodyError(ServiceError):
    status, title = 408, "Body not received in time"
    headers: ClassVar[Mapping[str, str]] = {"Connection": "close"}


class TooLargeError(ServiceError):
    status, title = 413, "Over a limit"


class UnsupportedTypeError(ServiceError):
    status, title = 415, "Not an image type that is taken"


class InvalidInputError(ServiceError):
    status, title = 422, "Invalid input"


class QueueFullError(ServiceError):
    status, title = 429, "Queue full"
    headers = RETRY_SOON


class ClientLeftError(ServiceError):
    """Nobody reads this answer; the status, nginx's, is for the log."""

    status, title = 499, "Client left"


class UnavailableError(ServiceError):
    status, title = 503, "Not ready"
    headers = RETRY_SOON


class DeadlineError(ServiceError):
    status, title = 504, "Deadline passed"


def install(app: FastAPI) -> None:
    """Answer every error of the app with a problem document."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _invalid_parameter)
    app.add_exception_handler(Exception, _unexpected)


def unexpected(scope: Scope) -> JSONResponse:
    """What answers a request on which the server failed."""
    return response(
        ServiceError("the server failed on this request; its log says why, under the request_id"),
        scope,
    )


def problem(
    status: int,
    title: str,
    detail: str,
    instance: str,
    request_id: str,
    images: Sequence[ImageProblem] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The response for a problem; `instance` is the path that was asked for, unquoted."""
    document = Problem(
        type=f"urn:fanlight:{title.lower().replace(' ', '-')}",
        title=title,
        status=status,
        detail=detail,
        instance=quote(instance),
        request_id=request_id,
        errors=list(images) or None,
    )
    return JSONResponse(
        document.model_dump(exclude_none=True), status, dict(headers or {}), media_type=MEDIA_TYPE
    )


def response(error: ServiceError, scope: Scope) -> JSONResponse:
    """What answers the request of this scope."""
    return problem(
        error.status,
        error.title,
        error.detail,
        scope["path"],
        scope["state"]["request_id"],
        error.images,
        error.headers,
    )


def invalid_parameters(found: Sequence[Any]) -> InvalidInputError:
    """The error for what pydantic found, where a place begins with the parameter's name."""
    told = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in found)
    if any(each["type"] == "missing" for each in found):
        told += " (/docs lists what it may be)"
    return InvalidInputError(f"invalid parameter: {told}")


async def _service_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)  # noqa: S101 (registered for nothing else)
    return response(error, request.scope)


async def _unexpected(request: Request, _error: Exception) -> JSONResponse:
    return unexpected(request.scope)


async def _http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    details = {
        404: f"there is nothing at {request.scope['path']}; /docs lists what there is",
        405: f"{request.method} is not possible here; possible: "
        + (error.headers or {}).get("Allow", "see /docs"),
    }
    return problem(
        error.status_code,
        HTTPStatus(error.status_code).phrase,
        details.get(error.status_code, error.detail),
        request.scope["path"],
        request.state.request_id,
        headers=error.headers,
    )


async def _invalid_parameter(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    found = [{**each, "loc": each["loc"][1:]} for each in error.errors()]  # "query", say
    return response(invalid_parameters(found), request.scope)
