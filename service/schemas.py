"""What the API says, as JSON: these models are the schemas of the OpenAPI document."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue
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
    runtime: str | SkipJsonSchema[None] = Field(
        None, description="what gives its predictions: torch or onnx"
    )
    fallback: str | SkipJsonSchema[None] = Field(
        None, description="why that is not the runtime that was wanted"
    )


class ModelSummary(Schema):
    name: str
    versions: list[VersionState] = Field(description="rising")


class ModelList(Schema):
    models: list[ModelSummary]


class LayerInfo(Schema):
    name: str
    type: str
    arguments: dict[str, JsonValue] = Field(description="what the module was built with")
    input_shape: list[int] = Field(description="for one image, without the batch")
    output_shape: list[int] = Field(description="for one image, without the batch")
    parameters: int
    multiply_adds: int = Field(
        description="for one image: of convolutions and matrix products, biases not counted"
    )

    features: bool = Field(description="whether its activations can be asked for")
    kernels: bool = Field(description="whether its weights can be asked for")
    grad_cam: bool = Field(description="whether Grad-CAM can look at it")


class ModelDetail(Schema):
    model: str
    version: int = Field(description="the version described here")
    versions: list[VersionState] = Field(description="all versions, rising")
    card: Card
    layers: list[LayerInfo] = Field(description="in the order of the forward pass")


class Activation(Schema):
    """What one image makes a layer give; null where a figure is not finite."""

    min: float
    max: float
    mean: float
    std: float
    zeros: float = Field(description="fraction of zeros")
    values: list[Any] | SkipJsonSchema[None] = Field(
        None, description="nested lists of the layer's shape, with values=true"
    )


class LayerFeatures(Schema):
    name: str
    shape: list[int] = Field(description="of one image's activation: (C, H, W) of maps")
    images: list[Activation] = Field(description="one for each image, in the order sent")


class Features(Schema):
    """Activations, and the predictions of the same forward pass."""

    model: str
    version: int
    predictions: list[Prediction] = Field(description="one for each image, in the order sent")
    layers: list[LayerFeatures] = Field(description="in the order asked for")


class Kernels(Schema):
    """The weights of a layer."""

    model: str
    version: int
    layer: str
    type: str
    shape: list[int] = Field(description="(out, in, H, W), or (out, in) of a linear layer")
    arguments: dict[str, JsonValue] = Field(description="what the module was built with")
    min: float
    max: float
    mean: float
    std: float
    values: list[Any] | SkipJsonSchema[None] = Field(
        None, description="nested lists of the shape, with values=true"
    )
    bias: list[float] | SkipJsonSchema[None] = Field(
        None, description="one value per output, with values=true; absent if there is none"
    )


class Target(Schema):
    """The class that is explained."""

    label: str
    index: int = Field(description="its place among the labels, from 0")
    score: float = Field(description="its softmax probability, 0 to 1")


class ImageExplanation(Schema):
    """How much each pixel of the input speaks for the target; negative speaks against it."""

    prediction: Prediction
    target: Target
    shape: list[int] = Field(description="(H, W) of the network's input")
    min: float
    max: float
    convergence_delta: float | SkipJsonSchema[None] = Field(
        None, description="of integrated gradients: what is missing from the sum, in logits"
    )
    values: list[list[float]] = Field(description="nested lists of the shape")


class Explanations(Schema):
    model: str
    version: int
    method: str
    layer: str | SkipJsonSchema[None] = Field(None, description="that Grad-CAM looks at")
    explanations: list[ImageExplanation] = Field(
        description="one for each image, in the order sent"
    )


class InputImage(Schema):
    values: list[Any] = Field(description="pixels 0 to 255, nested lists of the shape")
    box: list[float] = Field(
        description="the part of the upright image that it shows: left, top, right, bottom, "
        "as fractions of width and height"
    )


class Inputs(Schema):
    """Images as the network gets them, before normalisation."""

    model: str
    version: int
    shape: list[int] = Field(description="(C, H, W)")
    images: list[InputImage] = Field(description="one for each image, in the order sent")


class Health(Schema):
    status: Literal["live", "ready"]
