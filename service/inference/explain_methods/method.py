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
    """The image that an input was made of: upright, and made smaller if it was larger than
    `longest` pixels; `sent` is the width and height that it had."""

    image: "Image.Image"
    sent: "tuple[int, int] | None" = None


class WholeImage(NamedTuple):
    """An image as it was sent, for methods that look at more than the network's input.

    `form` is the network's fully convolutional form, or the network on each window.
    `probabilities` turns logits (N, num_classes) into such, calibrated as those of a prediction,
    after a `second_look` if the checkpoint has one. `check` raises `AbandonedError` once the
    request is cancelled.
    """

    original: Original
    spec: "InputSpec"
    form: "Form | Windows | None"
    device: "torch.device"
    probabilities: "Callable[[Tensor], Tensor]"
    check: "Callable[[], None]"
    second_look: "SecondLook | None" = None


class Subject(NamedTuple):
    """A prediction to explain, of an input and the `whole` image that it was made of.

    `batch` is the normalised image (1, C, H, W) with `requires_grad`, and `pixels` the same before
    that, uint8 (C, H, W). `forward` returns the logits (N, num_classes) of a normalised batch,
    through which gradients go; `logits` those of a uint8 batch (N, C, H, W), without gradients and
    as quickly as the version predicts. A method runs at most `batch_size` images as one batch.
    `target` is the class index.

    Both passes raise `AbandonedError` once the request is cancelled. `step` notes passes that a
    method need not run, and raises it too.
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


class Attribution(NamedTuple):
    """Attributions (H, W): how much each input pixel contributes to the target.

    `reason` says why all are 0, where another is known than that nothing speaks for the target.
    `convergence_delta` is the error of their sum, in logits, for methods that compute it. Where a
    method makes a `class_map`, the attributions are of the pixels of its picture.
    """

    values: "Tensor"
    convergence_delta: float | None = None
    class_map: "ClassMap | None" = None
    reason: str | None = None


P = TypeVar("P", bound=Parameters)


class ExplainMethod(ABC, Generic[P]):
    """One way to explain a prediction; captum is imported in functions: that takes a second."""

    name: ClassVar[str]
    title: ClassVar[str]  # in the page's menu
    description: ClassVar[str]  # one sentence; the paper stands in the module's docstring
    model: type[P]  # of its query parameters
    needs_gradients: ClassVar[bool] = True

    def missing(self, structure: "Structure") -> str | None:
        """What a network of this structure lacks for this method, a noun; None if nothing."""
        return None

    def resolve(self, parameters: P, checkpoint: "Checkpoint") -> P:
        """Return the parameters without open ones: `None` becomes what suits this network.

        Raises a `ServiceError` for values that this network doesn't support.
        """
        return parameters

    def notes(self, parameters: P, structure: "Structure") -> list[str]:
        """What to know of every answer with these parameters, from `resolve`; sentences."""
        return []

    def longest(self, spec: "InputSpec") -> int | None:
        """Pixels of the longer side of the whole image that the method looks at; None if it looks
        at the network's input alone."""
        return None

    def passes(self, parameters: P, spec: "InputSpec") -> int:
        """The most forward passes of one image that `attribute` takes, for progress.

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
