"""Errors of the service: each has an HTTP status, and says what was wrong and what is allowed.

Exceptions only. `service.responses.problems` turns them into answers.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from models import faults
from models.errors import FanlightError

RETRY_SOON: Mapping[str, str] = {"Retry-After": "1"}


@dataclass(frozen=True)
class ImageFault:
    """What is wrong with one image of a request.

    `index` is its place in the request, from 0. `filename` is empty if the client named none.
    """

    index: int
    filename: str
    reason: str


class ServiceError(FanlightError):
    """An error with an HTTP status; `detail` says what was wrong and what is allowed."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, detail: str, images: Sequence[ImageFault] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.images = tuple(images)


class MalformedBodyError(ServiceError):
    status, title = 400, "Malformed body"


class UnauthorizedError(ServiceError):
    status, title = 401, "API key missing or wrong"
    headers = MappingProxyType({"WWW-Authenticate": "Bearer"})


class NotFoundError(ServiceError):
    status, title = 404, "Not found"


class SlowBodyError(ServiceError):
    status, title = 408, "Body not received in time"
    headers = MappingProxyType({"Connection": "close"})


class TooLargeError(ServiceError):
    status, title = 413, "Over a limit"


class UnsupportedTypeError(ServiceError):
    status, title = 415, "Not an image type that is taken"


class InvalidInputError(ServiceError):
    status, title = 422, "Invalid input"


class UnanswerableError(ServiceError):
    """The images are fine, but the network gives no finite numbers for some of them.

    Not 503: asking again does not help, and proxies would take the server out of rotation.
    """

    status, title = 422, "No finite answer"


class QueueFullError(ServiceError):
    status, title = 429, "Queue full"
    headers = RETRY_SOON


class RateLimitError(ServiceError):
    """The client asks too often; `retry_after` is in seconds."""

    status, title = 429, "Too many requests"

    def __init__(self, detail: str, retry_after: float) -> None:
        super().__init__(detail)
        self.headers = {"Retry-After": str(math.ceil(retry_after))}


class ClientLeftError(ServiceError):
    """Nobody reads this answer; the status, nginx's, is for the log."""

    status, title = 499, "Client left"


class NotOfferedError(ServiceError):
    """The protocol has it, and this service does not."""

    status, title = 501, "Not offered"


class UnavailableError(ServiceError):
    status, title = 503, "Not ready"
    headers = RETRY_SOON


class DeadlineError(ServiceError):
    status, title = 504, "Deadline passed"


def invalid_parameters(found: Sequence[Any]) -> InvalidInputError:
    """Return the error for pydantic's errors `found`; each `loc` begins with a parameter's name."""
    # pydantic also reports the None branch of an optional parameter
    wrong = [each for each in found if each["type"] != "none_required"]
    texts = [": ".join([*map(str, each["loc"][:1]), faults.with_value(each)]) for each in wrong]
    text = "; ".join(dict.fromkeys(texts))
    if any(each["type"] == "missing" for each in found):
        text += " (/docs lists what it may be)"
    return InvalidInputError(f"invalid parameter: {text}")
