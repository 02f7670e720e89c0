"""What the API says, as JSON: these models are the schemas of the OpenAPI document."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from models.checkpoint import Card


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
        None, description="every image of the request that is at fault"
    )


class LabelScore(Schema):
    label: str
    score: float = Field(description="softmax probability, 0 to 1")


class Prediction(Schema):
    """The class of one image."""

    label: str = Field(description="the most probable class")
    score: float = Field(description="its softmax probability, 0 to 1")
    top: list[LabelScore] = Field(description="the most probable classes, best first")


class Predictions(Schema):
    model: str
    version: int
    predictions: list[Prediction] = Field(description="one for each image, in the order sent")


class VersionState(Schema):
    version: int
    state: Literal["loading", "ready", "failed"]
    reason: str | SkipJsonSchema[None] = Field(None, description="why it failed")


class ModelSummary(Schema):
    name: str
    versions: list[VersionState] = Field(description="rising")


class ModelList(Schema):
    models: list[ModelSummary]


class LayerInfo(Schema):
    name: str
    type: str
    output_shape: list[int] = Field(description="for one image, without the batch")
    parameters: int
    multiply_adds: int = Field(
        description="for one image: of convolutions and matrix products, biases not counted"
    )


class ModelDetail(Schema):
    model: str
    version: int = Field(description="the version described here")
    versions: list[VersionState] = Field(description="all versions, rising")
    card: Card
    layers: list[LayerInfo] = Field(description="in the order of the forward pass")


class Health(Schema):
    status: Literal["live", "ready"]
