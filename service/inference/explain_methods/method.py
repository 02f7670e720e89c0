"""What an explain method is, and the registry of all of them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from models.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from PIL import Image
    from torch import Tensor, nn

    from models.checkpoint import Checkpoint
    from models.convolutional.class_map import ClassMap
    from models.convolutional.form import Form
    from models.convolutional.windows import Windows
    from models.features import Layer
    from models.preprocessing import InputSpec, Pixels
    from models.structure.reading import Structure
    from models.trust import SecondLook

Baseline = Literal["black", "grey", "white"]
BASELINE_LEVELS: dict[Baseline, int] = {"black": 0, "grey": 128, "white": 255}
BaselineParameter = Annotated[
    Baseline, Field(description="what hides, and where integrated gradients start")
]


class Parameters(BaseModel):
    """Query parameters of a method, each with its limits and a description."""

    model_config = ConfigDict(frozen=True)


class Original(NamedTuple):
    """The upright image that a network's input was made from.

    `image` is scaled down if it was larger than the method needs. `sent` is the (width, height)
    that it had before, None if unknown.
    """

    image: "Image.Image"
    sent: "tuple[int, int] | None" = None


class WholeImage(NamedTuple):
    """An image as it was sent, for methods that look at more than the network's input.

    `form` is the network's fully convolutional form, or `Windows`, which runs the network on each
    window alone. `second_look` is the checkpoint's rule for a second look, or None; it is applied
    to the logits first. `probabilities` then converts logits (N, num_classes) to probabilities,
    calibrated as those of a prediction. `check` raises `AbandonedError` once the request is
    cancelled.
    """

    original: Original
    spec: "InputSpec"
    form: "Form | Windows | None"
    device: "torch.device"
    probabilities: "Callable[[Tensor], Tensor]"
    check: "Callable[[], None]"
    second_look: "SecondLook | None" = None


class Subject(NamedTuple):
    """A prediction to explain, and what a method needs for that.

    `batch` is the normalised image (1, C, H, W) with `requires_grad`. `pixels` is the same image
    before normalisation, uint8 (C, H, W). `whole` is the image that both were made from. `forward`
    computes the logits (N, num_classes) of a normalised batch, with gradients. `logits` computes
    those of a uint8 batch (N, C, H, W), without gradients and as quickly as the version predicts. A
    method runs at most `batch_size` images as one batch. `target` is the class index.

    `forward` and `logits` raise `AbandonedError` once the request is cancelled. `step` counts
    passes that a method need not run, and raises it too.
    """

    network: "nn.Module"
    forward: "Callable[[Tensor], Tensor]"
    batch: "Tensor"
    target: int
    baseline: "Callable[[Baseline], Tensor]"  # a flat image of that level, normalised
    layers: "Mapping[str, Layer]"  # of the network, and its blocks, by name
    pixels: "Pixels"
    logits: "Callable[[Pixels], NDArray[np.float32]]"
    batch_size: int
    step: "Callable[[int], None]"
    whole: WholeImage | None = None


def baseline_everywhere(baseline: str) -> str:
    """Return the reason why an image that is the baseline everywhere has no attributions."""
    return f"the image is {baseline} everywhere, as the baseline is; choose another baseline"


class Attribution(NamedTuple):
    """Attributions (H, W): how much each input pixel contributes to the target.

    `reason` says why all are 0, if the method knows; None means that nothing speaks for the target.
    `convergence_delta` is the error of their sum, in logits, for methods that compute it. With a
    `class_map`, the attributions are of the pixels of its picture.
    """

    values: "Tensor"
    convergence_delta: float | None = None
    class_map: "ClassMap | None" = None
    reason: str | None = None


P = TypeVar("P", bound=Parameters)


class ExplainMethod(ABC, Generic[P]):
    """A method to explain predictions.

    Methods import captum inside functions, since that import takes a second.
    """

    name: ClassVar[str]
    title: ClassVar[str]  # in the page's menu
    description: ClassVar[str]  # one sentence; the paper stands in the module's docstring
    model: type[P]  # of its query parameters
    needs_gradients: ClassVar[bool] = True

    def missing(self, structure: "Structure") -> str | None:
        """Return what a network of this structure lacks for this method; None if nothing.

        The text is a noun, such as "a fully convolutional form".
        """
        return None

    def resolve(self, parameters: P, checkpoint: "Checkpoint") -> P:
        """Return the parameters with values that suit this network in place of `None`.

        By default they are returned unchanged. Raises a `ServiceError` for values that this network
        doesn't support.
        """
        return parameters

    def notes(self, parameters: P, structure: "Structure") -> list[str]:
        """Return sentences to add to every answer with these parameters (from `resolve`)."""
        return []

    def longest(self, spec: "InputSpec") -> int | None:
        """Return how many pixels of the whole image's longer side the method needs.

        None if the method looks at the network's input alone.
        """
        return None

    def passes(self, parameters: P, spec: "InputSpec") -> int:
        """Return the most forward passes that `attribute` runs for one image, for progress.

        Images whose passes fit into one batch are explained together.
        """
        return 1

    @abstractmethod
    def attribute(self, subject: Subject, parameters: P) -> Attribution:
        """Compute the attributions, with parameters from `resolve`."""

    def attribute_all(self, subjects: Sequence[Subject], parameters: P) -> list[Attribution]:
        """Compute the attributions of several images, in their order.

        A method overrides it if its images can share batches.
        """
        return [self.attribute(each, parameters) for each in subjects]

    @property
    def parameters(self) -> Mapping[str, Mapping[str, Any]]:
        """The JSON Schema of each query parameter by its name."""
        properties: dict[str, dict[str, Any]] = self.model.model_json_schema().get("properties", {})
        return {
            name: {key: value for key, value in schema.items() if value is not None}
            for name, schema in properties.items()
        }


METHODS = Registry["ExplainMethod[Any]"]("explain method", package=__package__)


def table() -> str:
    """The methods as a Markdown table."""
    return METHODS.table(
        {
            "method": lambda each: f"`{each.name}`",
            "what it shows": lambda each: each.description,
            "parameters": lambda each: ", ".join(f"`{name}`" for name in each.parameters) or "none",
        }
    )
