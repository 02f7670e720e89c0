"""Occlusion: hide one part of the image after the other, and see how the logit of a class changes.

Zeiler and Fergus 2013, https://arxiv.org/abs/1311.2901.
"""

from typing import Annotated

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from models.checkpoint import Checkpoint
from models.preprocessing import InputSpec
from service.errors import InvalidInputError
from service.inference.explain_methods.method import (
    METHODS,
    PASSES_PER_BATCH,
    Attribution,
    BaselineParameter,
    ExplainMethod,
    Parameters,
    Subject,
)

MAX_WINDOWS = 1024  # each is a forward pass
WINDOWS_ACROSS = 8  # the default window is this part of the input's shorter side
COSTLY = 2 * 10**10  # multiply-adds of all passes, above which windows don't overlap by default
Pixels = Annotated[int, Field(ge=1)]


class OcclusionParameters(Parameters):
    window: Pixels | SkipJsonSchema[None] = Field(
        None, description="pixels of the input that occlusion hides at a time"
    )
    stride: Pixels | SkipJsonSchema[None] = Field(
        None,
        description="pixels from window to window; default: half of one, or a whole one where "
        "that many passes of the network would take seconds",
    )
    baseline: BaselineParameter = "black"


class Occlusion(ExplainMethod[OcclusionParameters]):
    name = "occlusion"
    title = "Occlusion"
    description = (
        "How much the target's logit falls when a window hides the pixel; negative where it rises."
    )
    model = OcclusionParameters
    needs_gradients = False

    def resolve(
        self, parameters: OcclusionParameters, checkpoint: Checkpoint
    ) -> OcclusionParameters:
        spec = checkpoint.card.input
        shorter = min(spec.height, spec.width)
        window = parameters.window or max(1, round(shorter / WINDOWS_ACROSS))
        stride = parameters.stride or self._stride(checkpoint, window)
        if window > shorter or stride > window:
            raise InvalidInputError(
                f"window {window} and stride {stride}: the window must fit into the input of "
                f"{spec.height} × {spec.width} pixels, and the stride into the window"
            )
        if (count := _count(spec, window, stride)) > MAX_WINDOWS:
            raise InvalidInputError(
                f"window {window} and stride {stride} make {count:,} windows; at most "
                f"{MAX_WINDOWS:,} are hidden: raise the stride"
            )
        return parameters.model_copy(update={"window": window, "stride": stride})

    def _stride(self, checkpoint: Checkpoint, window: int) -> int:
        """By default windows overlap by half, unless the network is large for that."""
        half = max(1, window // 2)
        passes = _count(checkpoint.card.input, window, half)
        operations = passes * sum(layer.multiply_adds for layer in checkpoint.layers)
        return window if operations > COSTLY else half

    def attribute(self, subject: Subject, parameters: OcclusionParameters) -> Attribution:
        import torch
        from captum import attr

        channels = subject.batch.shape[1]
        with torch.no_grad():
            values = attr.Occlusion(subject.forward).attribute(
                subject.batch,
                sliding_window_shapes=(channels, parameters.window, parameters.window),
                strides=(channels, parameters.stride, parameters.stride),
                baselines=subject.baseline(parameters.baseline),
                target=subject.target,
                perturbations_per_eval=PASSES_PER_BATCH,
            )  # (1, C, H, W)
        return Attribution(values[0, 0])  # each channel has the same: they are hidden together


def _count(spec: InputSpec, window: int, stride: int) -> int:
    """How many windows slide over the input."""
    height, width = (max(0, -(-(side - window) // stride)) + 1 for side in spec.shape[1:])
    return height * width


METHODS.register(Occlusion())
