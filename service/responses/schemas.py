"""Schemas of the OpenAPI document that several answers share; the others stand at their answers."""

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from pydantic.json_schema import SkipJsonSchema


def _without_default(schema: JsonDict) -> None:
    """Remove the default null of an array.

    Client generators expect that a field with a default is always present.
    """
    del schema["default"]


class Schema(BaseModel):
    model_config = ConfigDict(frozen=True)


class ImageProblem(Schema):
    """What is wrong with one image of a request."""

    index: int = Field(description="place of the image in the request, from 0")
    filename: str = Field(description="as the client named it; empty if it didn't")
    reason: str


class Problem(Schema):
    """An error (RFC 9457)."""

    type: str = Field(description="a URN that names the kind of error")
    title: str = Field(description="the kind of error in words")
    status: int
    detail: str = Field(description="what was wrong, what is allowed, which setting changes it")
    instance: str = Field(description="the path that was asked for")
    request_id: str = Field(description="also in the header X-Request-ID and in the server's log")
    errors: list[ImageProblem] | SkipJsonSchema[None] = Field(
        None,
        description="every image of the request that is at fault; absent if none is",
        json_schema_extra=_without_default,
    )
