"""Occlusion: hide one part of the image after the other, and see how the logit of a class changes.

Zeiler and Fergus 2013, https://arxiv.org/abs/1311.2901. The windows, and the mean over those that
hide a pixel, are those of captum's `Occlusion`. It needs no gradients, so the version's own runtime
computes it, in large batches.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from models.checkpoint import Checkpoint
from models.preprocessing import InputSpec, Pixels
from service.errors import InvalidInputError
from service.inference.explain_methods.method import (
    BASELINE_LEVELS,
    METHODS,
    Attribution,
    BaselineParameter,
    ExplainMethod,
    Parameters,
    Subject,
    baseline_everywhere,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_WINDOWS = 1024  # each is a forward pass
WINDOWS_ACROSS = 8  # the default window is this part of the input's shorter side
MAX_OVERLAPPING_MULTIPLY_ADDS = (
    2 * 10**10
)  # multiply-adds of all passes, above which windows don't overlap by default
Length = Annotated[int, Field(ge=1)]
Window = tuple[slice, slice]  # rows and columns


class OcclusionParameters(Parameters):
    window: Length | SkipJsonSchema[None] = Field(
        None, description="pixels of the input that occlusion hides at a time"
    )
    stride: Length | SkipJsonSchema[None] = Field(
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
        """Return the default stride: half a window, so that windows overlap.

        It is a whole window if all passes would take more than `MAX_OVERLAPPING_MULTIPLY_ADDS`.
        """
        half = max(1, window // 2)
        passes = _count(checkpoint.card.input, window, half)
        operations = passes * sum(layer.multiply_adds for layer in checkpoint.layers)
        return window if operations > MAX_OVERLAPPING_MULTIPLY_ADDS else half

    def passes(self, parameters: OcclusionParameters, spec: InputSpec) -> int:
        size, stride = _resolved(parameters)
        return 1 + _count(spec, size, stride)

    def attribute(self, subject: Subject, parameters: OcclusionParameters) -> Attribution:
        [attribution] = self.attribute_all([subject], parameters)
        return attribution

    def attribute_all(
        self, subjects: Sequence[Subject], parameters: OcclusionParameters
    ) -> list[Attribution]:
        """Compute the attributions of all images, in shared batches.

        A window whose pixels already have the level of the baseline changes nothing, and is not
        run.
        """
        import numpy as np
        import torch

        level = BASELINE_LEVELS[parameters.baseline]
        pixels = np.stack([each.pixels for each in subjects])  # (N, C, H, W)
        windows = list(_windows(pixels.shape[2:], *_resolved(parameters)))
        hides = np.stack(
            [(pixels[:, :, *each] != level).any((1, 2, 3)) for each in windows], 1
        )  # (N, windows)
        for subject, count in zip(subjects, hides.sum(1), strict=True):
            subject.step(len(windows) - int(count))
        passes = [(image, None) for image in range(len(subjects))]
        passes += [(int(image), windows[window]) for image, window in np.argwhere(hides)]
        scores = _scores(subjects, passes, level)
        falls = np.zeros(hides.shape)
        falls[hides] = scores[: len(subjects)].repeat(hides.sum(1)) - scores[len(subjects) :]
        maps = _means(falls, windows, pixels)
        nothing = baseline_everywhere(parameters.baseline)
        return [
            Attribution(torch.from_numpy(values), reason=None if counts.any() else nothing)
            for values, counts in zip(maps, hides, strict=True)
        ]


def _resolved(parameters: OcclusionParameters) -> tuple[int, int]:
    """Return window and stride, in pixels, of parameters from `resolve`."""
    return int(parameters.window or 0), int(parameters.stride or 0)


def _windows(sides: tuple[int, ...], size: int, stride: int) -> Iterator[Window]:
    """Return all windows, row by row; windows at the right and lower edges are cut off there."""
    rows, columns = (
        [slice(at, min(at + size, side)) for at in range(0, side - size + stride, stride)]
        for side in sides
    )
    return ((row, column) for row in rows for column in columns)


def _scores(
    subjects: Sequence[Subject], passes: Sequence[tuple[int, Window | None]], level: int
) -> "NDArray[np.float64]":
    """Compute the logit of the target for each pass.

    A pass is the index of an image, and the window to fill with `level`, or None for the whole
    image unchanged.
    """
    import numpy as np

    found: list[float] = []
    room = subjects[0].batch_size
    for part in (passes[at : at + room] for at in range(0, len(passes), room)):
        batch = np.stack([subjects[image].pixels for image, _ in part])  # (n, C, H, W)
        for row, (_, window) in zip(batch, part, strict=True):
            if window is not None:
                row[:, *window] = level
        targets = [subjects[image].target for image, _ in part]
        found += subjects[0].logits(batch)[range(len(part)), targets].tolist()
    return np.array(found)


def _means(
    falls: "NDArray[np.float64]", windows: Sequence[Window], pixels: Pixels
) -> "NDArray[np.float64]":
    """Return the mean fall of the logit over the windows that cover each pixel, (N, H, W).

    `falls` are by image and window, (N, windows); `pixels` are the images (N, C, H, W).
    """
    import numpy as np

    total = np.zeros((len(pixels), *pixels.shape[2:]))  # (N, H, W)
    count = np.zeros(pixels.shape[2:])
    for fall, window in zip(falls.T, windows, strict=True):
        total[:, *window] += fall[:, None, None]
        count[*window] += 1
    return total / count


def _count(spec: InputSpec, window: int, stride: int) -> int:
    """Return the number of windows that cover the input."""
    height, width = (max(0, -(-(side - window) // stride)) + 1 for side in spec.shape[1:])
    return height * width


METHODS.register(Occlusion())
