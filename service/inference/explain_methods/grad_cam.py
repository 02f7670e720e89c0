"""Grad-CAM: the maps of a layer, weighted by the gradient of a class, as one heat map.

Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391.
"""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from models.checkpoint import Checkpoint
from models.features import Layer
from models.registry import proposal
from service.errors import InvalidInputError, NotFoundError
from service.inference.explain_methods.method import (
    METHODS,
    Attribution,
    ExplainMethod,
    Parameters,
    Subject,
)


class GradCamParameters(Parameters):
    layer: Annotated[str, Field(max_length=1024)] | SkipJsonSchema[None] = Field(
        None, description="that Grad-CAM looks at; default: the last convolution with a map"
    )


class GradCam(ExplainMethod[GradCamParameters]):
    name = "grad-cam"
    title = "Grad-CAM"
    description = "The maps of a layer, weighted by their gradients: coarse, 0 or more."
    model = GradCamParameters

    def missing(self, layers: Sequence[Layer]) -> str | None:
        return None if usual_layer(layers) else "a convolution with a map"

    def resolve(self, parameters: GradCamParameters, checkpoint: Checkpoint) -> GradCamParameters:
        layer, names = parameters.layer, [each.name for each in checkpoint.layers]
        if layer is None:
            return GradCamParameters(layer=usual_layer(checkpoint.layers))
        if layer not in names:
            raise NotFoundError(
                f"no layer {layer!r}; {proposal(layer, names)}there are: {', '.join(names)}"
            )
        possible = possible_layers(checkpoint.layers)
        if layer not in possible:
            raise InvalidInputError(
                f"grad-cam needs a layer that gives maps, and {layer} doesn't; "
                f"possible: {', '.join(possible)}"
            )
        return parameters

    def attribute(self, subject: Subject, parameters: GradCamParameters) -> Attribution:
        from captum import attr

        layer = subject.network.get_submodule(str(parameters.layer))
        maps = attr.LayerGradCam(subject.forward, layer).attribute(
            subject.batch, target=subject.target, relu_attributions=True
        )  # (1, 1, h, w)
        size = tuple(subject.batch.shape[2:])
        whole = attr.LayerAttribution.interpolate(maps, size, "bilinear")
        return Attribution(whole[0, 0].detach())


def possible_layers(layers: Sequence[Layer]) -> list[str]:
    """The layers that Grad-CAM can look at: those that give maps, from the first convolution on."""
    first = next((i for i, layer in enumerate(layers) if layer.is_convolution), len(layers))
    return [layer.name for layer in layers[first:] if layer.is_map]


def usual_layer(layers: Sequence[Layer]) -> str | None:
    """The last convolution that gives maps, as the paper chooses; None if there is none."""
    return next((x.name for x in reversed(layers) if x.is_convolution and x.is_map), None)


METHODS.register(GradCam())
