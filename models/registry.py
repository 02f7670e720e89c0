"""Architectures by name: name → `Architecture` → network.

A family's file registers its networks with `@register`; `torchvision/<name>` reaches torchvision's
own registry. An architecture also knows the input it was designed for, so that neither a recipe nor
an import has to say it again.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError
from torch import nn

from models.preprocessing import IMAGENET_MEAN, IMAGENET_STD, InputSpec
from models.vision import torchvision

TORCHVISION_PREFIX = "torchvision/"


class ArchitectureError(ValueError):
    """No architecture of that name, or arguments that it does not take."""


@dataclass(frozen=True)
class Architecture:
    """A network that can be built by name, and the input that it was designed for."""

    name: str
    input: InputSpec
    factory: Callable[..., nn.Module]

    def build(self, num_classes: int, /, **arguments: Any) -> nn.Module:
        """The network, freshly initialised from torch's global generator.

        Raises `ArchitectureError` for arguments that it does not take.
        """
        try:
            return self.factory(num_classes=num_classes, **arguments)
        except (TypeError, ValueError) as error:
            message = f"architecture {self.name!r} can't be built with {arguments}: {error}"
            raise ArchitectureError(message) from error

    def input_for(self, arguments: Mapping[str, Any], **changes: Any) -> InputSpec:
        """The input of the network that is built with those arguments, and with those changes.

        The argument `channels`, of an architecture that has it, decides how many the input has.
        Where they are not its own, pixels stay in [0, 1] unless the changes say otherwise. One
        value of mean or std holds for all channels. Raises `ArchitectureError` for an impossible
        input.
        """
        own = self.input.model_dump()
        channels = own["channels"] = arguments.get("channels", self.input.channels)
        if channels != self.input.channels:
            own |= {"mean": (), "std": ()}
        for name in ("mean", "std"):
            if len(changes.get(name, ())) == 1 and channels in (1, 3):
                changes[name] = tuple(changes[name]) * channels
        try:
            return InputSpec.model_validate(own | changes)
        except ValidationError as error:
            raise ArchitectureError(f"the input: {error.errors()[0]['msg']}") from error


_ARCHITECTURES: dict[str, Architecture] = {}
Factory = TypeVar("Factory", bound=Callable[..., nn.Module])


def register(name: str, input: InputSpec) -> Callable[[Factory], Factory]:
    """Register `factory(num_classes=…, **arguments)` as an architecture.

    Raises `ValueError` if the name is taken.
    """

    def decorate(factory: Factory) -> Factory:
        if name in _ARCHITECTURES:
            raise ValueError(f"architecture {name!r} is registered twice")
        _ARCHITECTURES[name] = Architecture(name, input, factory)
        return factory

    return decorate


def names() -> list[str]:
    """The registered architectures, sorted; torchvision's are not among them."""
    return sorted(_ARCHITECTURES)


def architecture(name: str) -> Architecture:
    """The architecture of that name; raises `ArchitectureError` if there is none."""
    if name.startswith(TORCHVISION_PREFIX):
        return _torchvision_architecture(name)
    if name not in _ARCHITECTURES:
        raise ArchitectureError(
            f"no architecture {name!r}; there are {', '.join(names())}, "
            f"and any classifier of torchvision as {TORCHVISION_PREFIX}<name>"
        )
    return _ARCHITECTURES[name]


def _torchvision_architecture(name: str) -> Architecture:
    models = torchvision("models")
    known = models.list_models(module=models)
    model = name.removeprefix(TORCHVISION_PREFIX)
    if model not in known:
        raise ArchitectureError(
            f"torchvision has no classifier {model!r}; it has {', '.join(known)}"
        )

    def factory(num_classes: int, **arguments: Any) -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of another start in future versions
            network: nn.Module = models.get_model(
                model, weights=None, num_classes=num_classes, **arguments
            )
        return network

    spec = InputSpec(channels=3, height=224, width=224, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    return Architecture(name, spec, factory)
