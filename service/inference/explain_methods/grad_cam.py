"""Grad-CAM: the maps of a layer, weighted by the gradient of a class, as one heat map.

Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from models.checkpoint import Checkpoint
from models.features import first, maps, with_first
from models.registry import listed, proposal
from models.structure.reading import Structure
from service.errors import InvalidInputError, NotFoundError
from service.inference.explain_methods.method import (
    METHODS,
    Attribution,
    ExplainMethod,
    Parameters,
    Subject,
)

if TYPE_CHECKING:
    from torch import Tensor, nn


class GradCamParameters(Parameters):
    layer: Annotated[str, Field(max_length=1024)] | SkipJsonSchema[None] = Field(
        None,
        description="layer or block that Grad-CAM looks at; default: the last with maps through "
        "which everything goes that the network knows of the image",
    )


class GradCam(ExplainMethod[GradCamParameters]):
    name = "grad-cam"
    title = "Grad-CAM"
    description = "The maps of a layer, weighted by their gradients: coarse, 0 or more."
    model = GradCamParameters

    def missing(self, structure: Structure) -> str | None:
        return None if structure.whole else "a layer that gives maps of the image"

    def resolve(self, parameters: GradCamParameters, checkpoint: Checkpoint) -> GradCamParameters:
        layer, structure = parameters.layer, checkpoint.structure
        if layer is None:
            return GradCamParameters(layer=structure.whole)
        names = [each.name for each in (*structure.layers, *structure.blocks)]
        if layer not in names:
            raise NotFoundError(
                f"no layer {layer!r}; {proposal(layer, names)}there are: {listed(names)}"
            )
        possible = possible_layers(structure)
        if layer not in possible:
            raise InvalidInputError(
                f"grad-cam needs a layer that gives maps, and {layer} doesn't; "
                f"possible: {listed(possible)}"
            )
        return parameters

    def notes(self, parameters: GradCamParameters, structure: Structure) -> list[str]:
        layer = structure.outputs()[str(parameters.layer)]
        found = list[str]()
        if layer.calls > 1:
            found.append(
                f"{layer.name} is called {layer.calls} times; the map is of its last call, which "
                "may be of a part of the image."
            )
        if structure.is_partial and layer.name == structure.whole:
            found.append(
                f"{layer.name} is the last convolution, and not all that the network knows of the "
                "image goes through it: no layer or block holds the whole image."
            )
        return found

    def attribute(self, subject: Subject, parameters: GradCamParameters) -> Attribution:
        import torch
        from torch.nn.functional import interpolate

        layer = subject.layers[str(parameters.layer)]
        with _output(subject.network.get_submodule(layer.name)) as seen:
            logit = subject.forward(subject.batch)[0, subject.target]
        [activation] = seen[-1:]
        gradient = torch.zeros_like(activation)
        if logit.requires_grad and activation.requires_grad:  # not of what a network detaches
            [gradient] = torch.autograd.grad(logit, activation, materialize_grads=True)
        gradient, activation = map(layer.given.arranged, (gradient, activation))
        gradient = maps(layer, gradient)
        weights = gradient.mean((2, 3), keepdim=True)  # (1, C, 1, 1)
        heat = (weights * maps(layer, activation)).sum(1, keepdim=True).relu()  # (1, 1, h, w)
        size = tuple(subject.batch.shape[2:])
        whole = interpolate(heat.detach(), size, mode="bilinear", align_corners=False)
        unused = None if gradient.any() else f"what follows {layer.name} uses none of its maps"
        return Attribution(whole[0, 0], reason=unused)


@contextmanager
def _output(module: "nn.Module") -> "Iterator[list[Tensor]]":
    """Collect the output of a module at each of its calls, until the block ends.

    What follows the module gets a copy, since it may change that in place.
    """
    seen: list[Tensor] = []

    def hook(_module: "nn.Module", _inputs: object, output: Any) -> Any:
        seen.append(first(output))
        return with_first(output, seen[-1].clone())

    handle = module.register_forward_hook(hook)
    try:
        yield seen
    finally:
        handle.remove()


def possible_layers(structure: Structure) -> list[str]:
    """Return the names of the layers and blocks that Grad-CAM can look at.

    Their outputs are maps of the image, and they have parameters or come after a layer that has.
    """
    layers = structure.layers
    first = next((i for i, each in enumerate(layers) if each.parameters), len(layers))
    later = {each.name for each in layers[first:]}
    return [
        each.name
        for each in (*layers, *structure.blocks)
        if each.maps and (each.name in later or each.parameters)
    ]


METHODS.register(GradCam())
