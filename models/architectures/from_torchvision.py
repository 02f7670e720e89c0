"""torchvision's classifiers by name, with the evaluation preprocessing of their weights.

The metadata of the weights says how images are scaled and cropped; nothing is downloaded.
"""

import warnings
from collections.abc import Mapping
from typing import Any

from torch import nn

from models.architectures.architecture import Architecture, ArchitectureError
from models.preprocessing import IMAGENET_MEAN, IMAGENET_STD, InputSpec
from models.registry import nearest
from models.torchvision_import import torchvision

PREFIX = "torchvision/"
_HALF = (0.5, 0.5, 0.5)
_USUAL = InputSpec(channels=3, height=224, width=224, mean=IMAGENET_MEAN, std=IMAGENET_STD)
_TRANSFORMS_INPUT = ("googlenet", "inception_v3")


def names() -> list[str]:
    """Return the names of torchvision's classifiers, without the prefix."""
    models = torchvision("models")
    found: list[str] = models.list_models(module=models)
    return found


def architecture(name: str) -> Architecture:
    """Return the architecture `torchvision/<name>`; raise `ArchitectureError` if there is none."""
    models, known = torchvision("models"), names()
    model = name.removeprefix(PREFIX)
    if model not in known:
        near = nearest(model, known)
        meant = f"did you mean {PREFIX + near!r}? " if near else ""
        raise ArchitectureError(
            f"torchvision has no classifier {model!r}; {meant}it has {', '.join(known)}"
        )

    def factory(num_classes: int, **arguments: Any) -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of another start in future versions
            network: nn.Module = models.get_model(
                model, weights=None, num_classes=num_classes, **arguments
            )
        return network

    return _Classifier(name, _input(models, model), factory, f"torchvision's {model}.")


class _Classifier(Architecture):
    """A classifier of torchvision, whose input depends on the argument `transform_input`.

    With it (for the networks in `_TRANSFORMS_INPUT`), the input is normalised with ImageNet's mean
    and deviation, and the network converts that to a mean and deviation of 0.5. Without it, the
    input itself has a mean and deviation of 0.5.
    """

    def input_for(self, arguments: Mapping[str, Any], **changes: Any) -> InputSpec:
        if arguments.get("transform_input"):
            changes = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD} | changes
        return super().input_for(arguments, **changes)


def _input(models: Any, name: str) -> InputSpec:
    """Return the input that the newest weights' transforms state; without weights, a default."""
    weights = models.get_model_weights(name)
    if not len(weights):
        return _USUAL
    transforms = weights.DEFAULT.transforms()
    mean, std = tuple(transforms.mean), tuple(transforms.std)
    if name in _TRANSFORMS_INPUT:
        mean = std = _HALF
    [side] = transforms.crop_size
    [resized] = transforms.resize_size
    return InputSpec(
        channels=3,
        height=side,
        width=side,
        resize_size=resized,
        interpolation="bicubic" if transforms.interpolation.value == "bicubic" else None,
        mean=mean,
        std=std,
    )
