"""The answers of `list_models` and `get_model`: versions and cards → JSON."""

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import Field, JsonValue
from pydantic.json_schema import SkipJsonSchema

from models.checkpoint import Card, Checkpoint
from models.features import Layer
from models.graphs import network as graphs
from models.images import formats as image_formats
from models.structure.axes import Axis
from service.inference import explanation
from service.inference.explain_methods import grad_cam
from service.inference.runtimes.registry import RUNTIMES
from service.repository.loading import ServingModel
from service.repository.repository import Version
from service.responses import reliance
from service.responses.reliance import Reliance
from service.responses.schemas import Schema


class VersionState(Schema):
    version: int
    state: Literal["loading", "ready", "failed"]
    reason: str | SkipJsonSchema[None] = Field(
        None, description="why it failed, or why it takes long to load"
    )
    runtime: str | SkipJsonSchema[None] = Field(
        None, description=f"what gives its predictions: {', '.join(RUNTIMES.names())}"
    )
    fallback: str | SkipJsonSchema[None] = Field(
        None, description="why that is not the runtime that was wanted"
    )
    warnings: list[str] | SkipJsonSchema[None] = Field(
        None, description="what is wrong with it although it answers"
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
    axes: list[Axis] = Field(description="what each axis of the output is")
    maps: list[int] | SkipJsonSchema[None] = Field(
        None, description="(C, H, W) of the output as maps of the image, if it is any"
    )
    calls: int = Field(
        description="how often a forward pass calls it; activations are those of the last call"
    )
    parameters: int
    multiply_adds: int = Field(
        description="for one image: of convolutions and matrix products, biases not counted"
    )
    features: bool = Field(description="whether its activations can be asked for")
    kernels: bool = Field(description="whether its weights can be asked for")
    grad_cam: bool = Field(description="whether Grad-CAM can look at it")


class ArchitectureInfo(Schema):
    """The network's family, and what it can be built with; the card has what it was built with."""

    name: str
    description: str
    parameters: dict[str, JsonValue] = Field(description="JSON Schema by the argument's name")


class ExplainMethodInfo(Schema):
    name: str
    title: str = Field(description="for a menu")
    description: str
    parameters: dict[str, JsonValue] = Field(description="JSON Schema by the parameter's name")


class ModelDetail(Schema):
    model: str
    version: int = Field(description="the version described here")
    versions: list[VersionState] = Field(description="all versions, rising")
    card: Card
    architecture: ArchitectureInfo
    media_types: list[str] = Field(description="of images that are taken")
    explain_methods: list[ExplainMethodInfo] = Field(
        description="that can explain this network's answers"
    )
    reliance: Reliance
    layers: list[LayerInfo] = Field(description="in the order of the forward pass")
    blocks: list[LayerInfo] = Field(
        description="that consist of layers, in the order in which they end"
    )
    between_layers: list[str] = Field(
        description="operators that are called outside of layers, whose results no layer shows"
    )
    mixed_layers: list[str] = Field(
        description="layers and blocks that are left out: what they give can't be divided among "
        "the images of a batch"
    )


def detail(serving: ServingModel, versions: Iterable[Version]) -> ModelDetail:
    """Make the answer of `get_model`; `versions` are all versions of that model."""
    checkpoint = serving.checkpoint
    card = checkpoint.card
    return ModelDetail(
        model=card.name,
        version=card.version,
        versions=states(versions),
        card=_public(card),
        architecture=_architecture(checkpoint),
        media_types=sorted(image_formats.by_media_type()),
        explain_methods=_explain_methods(checkpoint),
        reliance=reliance.of(card, serving.judge),
        layers=_layers(checkpoint, checkpoint.structure.layers),
        blocks=_layers(checkpoint, checkpoint.structure.blocks),
        between_layers=list(checkpoint.structure.between),
        mixed_layers=list(checkpoint.structure.mixed),
    )


def _public(card: Card) -> Card:
    if card.training is None:
        return card
    return card.model_copy(update={"training": card.training.without_folders()})


def states(versions: Iterable[Version]) -> list[VersionState]:
    return [
        VersionState(
            version=each.number,
            state=each.state,
            reason=each.reason,
            runtime=each.loaded.chosen.runtime.name if each.loaded else None,
            fallback=each.loaded.chosen.fallback if each.loaded else None,
            warnings=(each.loaded.marks.warnings or None) if each.loaded else None,
        )
        for each in versions
    ]


def _architecture(checkpoint: Checkpoint) -> ArchitectureInfo:
    known = checkpoint.architecture
    if known is None:
        return ArchitectureInfo(
            name=graphs.ARCHITECTURE, description=graphs.DESCRIPTION, parameters={}
        )
    return ArchitectureInfo(
        name=checkpoint.card.architecture,
        description=known.description,
        parameters={name: dict(schema) for name, schema in known.parameters.items()},
    )


def _explain_methods(checkpoint: Checkpoint) -> list[ExplainMethodInfo]:
    return [
        ExplainMethodInfo(
            name=each.name,
            title=each.title,
            description=each.description,
            parameters={name: dict(schema) for name, schema in each.parameters.items()},
        )
        for each in explanation.fitting_methods(checkpoint)
    ]


def _layers(checkpoint: Checkpoint, layers: Sequence[Layer]) -> list[LayerInfo]:
    possible = grad_cam.possible_layers(checkpoint.structure)
    with_grad_cam = possible if checkpoint.has_gradients else []
    return [
        LayerInfo(
            name=layer.name,
            type=layer.type,
            arguments=dict(layer.arguments),
            input_shape=list(layer.input_shape),
            output_shape=list(layer.output_shape),
            axes=list(layer.axes),
            maps=None if layer.maps is None else list(layer.maps),
            calls=layer.calls,
            parameters=layer.parameters,
            multiply_adds=layer.multiply_adds,
            features=True,
            kernels=layer.kernels is not None,
            grad_cam=layer.name in with_grad_cam,
        )
        for layer in layers
    ]
