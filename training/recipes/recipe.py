"""Recipes: a frozen dataclass with everything that decides the weights.

It is the command line, the head of the run folder and a field of the checkpoint's card. The same
recipe gives the same weights on the same CPU with as many threads; a GPU adds up in no fixed order.
The recipes that come with Fanlight are in `training/recipes/catalogue.py`.
"""

import math
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal

from typing_extensions import Doc

from models.architectures import registry
from models.errors import OptionError
from models.images.framing import RULES
from models.preprocessing import InputSpec
from models.registry import Completion
from training.data import registry as data_sets
from training.recipes.arguments import Arguments

AUTO = "auto"
"""The value of `pretrained` that `training/recipes/auto.py` replaces."""
_ABOVE_ZERO = ("epochs", "batch_size", "learning_rate", "size")
_ZERO_OR_MORE = ("l1", "l2", "l2_norm", "weight_decay", "crop_padding", "rotation")
_LEAST_SEED, _LARGEST_SEED = -(2**63), 2**63 - 1  # what torch's generators take
_FRACTIONS = (
    *("momentum", "averaging", "label_smoothing", "scaling", "erasing", "ground"),
    *("compression", "validation_fraction", "calibration_fraction"),
)


@dataclass(frozen=True)
class Recipe:
    """What is trained on what, and how."""

    name: str
    """The model that the result is published as."""
    dataset: Annotated[str, Doc(data_sets.describe()), data_sets.COMPLETION]
    architecture: Annotated[str, Doc(registry.describe()), Completion(registry.complete)]
    epochs: int | None = None
    """Passes over the training set; none chooses by the number of pictures."""
    batch_size: int = 64
    """Pictures a step."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """Stochastic gradient descent, or Adam with its usual betas."""
    learning_rate: float | None = None
    """The highest of the schedule; none chooses by the optimizer and the start."""
    arguments: Annotated[Arguments, Doc(registry.describe_arguments())] = field(
        default_factory=dict
    )
    schedule: Literal["constant", "plateau", "one-cycle", "cosine"] = "constant"
    """plateau halves the rate after an epoch without a lower validation loss; one-cycle rises for a
    quarter of the steps and falls to zero (Smith 2018); cosine falls to zero."""
    momentum: float = 0.0
    """Of SGD, in Nesterov's form; 0 is plain SGD."""
    weight_decay: float = 0.0
    """The optimizer's own: adds weight_decay · p to each gradient."""
    l1: float = 0.0
    """Adds l1 · Σ|p| over all parameters to the loss."""
    l2: float = 0.0
    """Adds l2 · Σp² over all parameters to the loss."""
    l2_norm: float = 0.0
    """Adds l2_norm · Σ‖p‖₂ over the parameter tensors to the loss: norms, not squares."""
    label_smoothing: float = 0.0
    """The part of each target that is spread over all classes (Szegedy et al. 2016)."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced weighs each picture's loss by how rare its class is."""
    averaging: float = 0.0
    """Decay a step of the moving average of the weights that is kept; 0 keeps the weights."""
    initialisation: Literal["default", "xavier", "whitening"] = "default"
    """torch's own; Xavier's uniform one (Glorot and Bengio 2010); or whitening, which fills and
    freezes the first convolution of a convnet."""
    pretrained: str | None = None
    """Start from these weights with a new head: `imagenet` for those of efficientnet-lite0 that
    the extra `pretrained` brings, `download` for torchvision's own, or a file that holds a
    state_dict. none starts from scratch; auto chooses by the pictures."""
    tune: Literal["all", "head", "head-first"] = "all"
    """all trains every layer; head fits the last layer alone, on what the others give as they are;
    head-first does that, then trains every layer, and keeps it if that validates better."""
    size: int | None = None
    """Height and width of the input in pixels; none takes the architecture's own, or chooses by the
    pictures where the architecture takes any."""
    mean: tuple[float, ...] = ()
    """Subtracted from pixels in [0, 1]: one value, or one a channel; the architecture's own unless
    given."""
    std: tuple[float, ...] = ()
    """Divided by afterwards. std 0.003921569 feeds pixels from 0 to 255."""
    resize: Literal["crop", "stretch"] = "crop"
    """The rule for pictures of other proportions: the largest centred part, or all of it."""
    framing: Literal["digits", "drawings", "clothes"] | None = None
    """Bring pictures into a frame first, in training and in the service: digits as MNIST's lie,
    drawings in strokes of one ink, clothes as FashionMNIST's lie; none takes them as they come."""
    flip: bool = False
    """Mirror each training picture left to right with probability 1/2."""
    crop_padding: int = 0
    """Pad by so many reflected pixels, and crop back at a random place."""
    rotation: float = 0.0
    """Turn each training picture by a random angle of at most so many degrees either way."""
    scaling: float = 0.0
    """Enlarge or shrink each training picture by a random factor, of 1 - scaling to 1 + scaling."""
    erasing: float = 0.0
    """Erase a random rectangle of each training picture with this probability (Zhong et al. 2020).
    """
    ground: float = 0.0
    """Paint the ground around the subject of a training picture in another colour, mostly white,
    with this probability; pictures whose ground is not even stay as they are."""
    compression: float = 0.0
    """Save a training picture as a JPEG of low quality with this probability."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """bfloat16 and float16 run the forward pass under autocast; float16 needs a GPU, and scales the
    loss so that small gradients are not lost."""
    validation_fraction: float = 0.1
    """The part of the training set, the same of each class, that is held out for validation."""
    calibration_fraction: float = 0.04
    """The part of the training set that is held out for calibration where nothing is for
    validation; nothing is, where that would be fewer than 40 pictures."""
    selection: Literal["best", "last"] = "best"
    """Keep the weights of the epoch that validates best, or of the last one. With nothing held out
    it is the last."""
    strangers: Annotated[str, data_sets.COMPLETION] | None = None
    """A data set of pictures of none of the classes. The network learns to tell its classes, as
    further ones, from its own; the published network has only its own. Where a head is fitted
    first, familiarity alone learns them."""
    seed: int = 0
    """Decides the split, the initial weights, the order of the pictures and the augmentation."""

    def __post_init__(self) -> None:
        if self.pretrained == "":
            raise OptionError("pretrained must be imagenet, download or a file, not empty")
        for name in _ABOVE_ZERO:
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise OptionError(f"{name} must be above 0, not {value}")
        for name in _ZERO_OR_MORE:
            if not 0 <= getattr(self, name) < math.inf:
                raise OptionError(f"{name} must be 0 or more, not {getattr(self, name)}")
        for name in _FRACTIONS:
            if not 0 <= getattr(self, name) < 1:
                raise OptionError(f"{name} must be in [0, 1), not {getattr(self, name)}")
        if not _LEAST_SEED <= self.seed <= _LARGEST_SEED:
            raise OptionError(f"seed must be a number of 64 bits, not {self.seed}")
        if self.schedule == "plateau" and not self.validation_fraction:
            raise OptionError("the schedule plateau needs a validation_fraction above 0")
        if self.optimizer == "adam" and self.momentum:
            raise OptionError("momentum is SGD's; Adam has its own: set momentum to 0")

    @property
    def input(self) -> InputSpec:
        """The architecture's input with the recipe's changes.

        Raises `ArchitectureError` for an unknown architecture or an impossible input.
        """
        changes: dict[str, Any] = {"resize": self.resize}
        if self.pretrained is None:  # what the weights were trained on
            changes |= {"resize_size": None, "interpolation": None}
        if self.size is not None:
            changes |= {"height": self.size, "width": self.size}
        if self.framing is not None:
            changes["framing"] = RULES[self.framing]._asdict()
        if self.mean:
            changes["mean"] = self.mean
        if self.std:
            changes["std"] = self.std
        return registry.named(self.architecture).input_for(self.arguments, **changes)

    @property
    def epochs_to_run(self) -> int:
        """The number of epochs; raises `ValueError` while it is open (see
        `training/recipes/auto.py`)."""
        if self.epochs is None:
            raise ValueError("the recipe has no number of epochs yet")
        return self.epochs

    def differences(self, other: "Recipe") -> dict[str, Any]:
        """Return the fields whose values differ from the other recipe's, with this recipe's
        values."""
        return {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if getattr(self, each.name) != getattr(other, each.name)
        }


GROUPS = {
    "What is published, and trained on what": (
        *("name", "dataset", "strangers"),
        *("validation_fraction", "calibration_fraction", "seed"),
    ),
    "Network": ("architecture", "arguments", "initialisation", "pretrained", "tune"),
    "Input": ("size", "mean", "std", "resize", "framing"),
    "Random views of the training pictures": (
        *("flip", "crop_padding", "rotation", "scaling", "erasing", "ground", "compression"),
    ),
    "Optimisation": (
        "epochs",
        "batch_size",
        "optimizer",
        "learning_rate",
        "schedule",
        "momentum",
        "class_weights",
        "averaging",
        "selection",
        "precision",
    ),
    "Regularisation": ("weight_decay", "l1", "l2", "l2_norm", "label_smoothing"),
}
"""The groups of fields in the help of `fanlight fit`; each field is in one group."""
