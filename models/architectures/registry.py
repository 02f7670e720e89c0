"""Architectures by name: name → `Architecture` → network.

The file of each family in this folder registers its networks with `@register`; name, description,
arguments and limits all stand there. The first lookup imports all of these files.
`torchvision/<name>` is looked up in torchvision's own registry. An architecture also holds the
input it was designed for, so that recipes and imports need not repeat it.
"""

import inspect
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from torch import nn

from models.errors import FanlightError
from models.preprocessing import IMAGENET_MEAN, IMAGENET_STD, InputSpec
from models.registry import Parameters, Registry, nearest, unknown
from models.torchvision_import import torchvision

TORCHVISION_PREFIX = "torchvision/"


class ArchitectureError(FanlightError):
    """No architecture of that name, or arguments that it does not take."""


@dataclass(frozen=True)
class Architecture:
    """A network that can be built by name, and the input that it was designed for."""

    name: str
    input: InputSpec
    factory: Callable[..., nn.Module]
    description: str

    @cached_property
    def _arguments(self) -> type[BaseModel]:
        """A model of the factory's arguments, from its signature, without `num_classes`."""
        signature = inspect.signature(self.factory, eval_str=True)
        fields: dict[str, Any] = {
            each.name: (
                Any if each.annotation is each.empty else each.annotation,
                ... if each.default is each.empty else each.default,
            )
            for each in signature.parameters.values()
            if each.name != "num_classes"
            and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
        }
        config = ConfigDict(arbitrary_types_allowed=True)
        model: type[BaseModel] = create_model(self.name, __config__=config, **fields)
        return model

    @cached_property
    def parameters(self) -> Parameters:
        """The arguments of `build`, as JSON Schema with limits and defaults.

        They come from the signature of the factory: `dropout: Annotated[float, Field(ge=0, le=1)]`.
        """
        properties: dict[str, dict[str, Any]]
        properties = self._arguments.model_json_schema().get("properties", {})
        return {
            name: {key: value for key, value in each.items() if key != "title"}
            for name, each in properties.items()
        }

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Raise `ArchitectureError` for arguments, as JSON has them, that `build` does not take."""
        open_ended = any(
            each.kind is each.VAR_KEYWORD
            for each in inspect.signature(self.factory).parameters.values()
        )
        for name in arguments:
            if name not in self._arguments.model_fields and not open_ended:
                reason = unknown("argument", name, self._arguments.model_fields)
                raise self._error(arguments, reason)
        try:
            text = json.dumps(dict(arguments))
        except TypeError as error:
            raise self._error(arguments, error) from error
        try:
            self._arguments.model_validate_json(text, strict=True)
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, each['loc']))}: {each['msg']}, not {each['input']!r}"
                for each in error.errors()
            )
            raise self._error(arguments, faults) from error

    def _error(self, arguments: Mapping[str, Any], reason: object) -> ArchitectureError:
        return ArchitectureError(
            f"architecture {self.name!r} can't be built with {dict(arguments)}: {reason}"
        )

    def build(self, num_classes: int, /, **arguments: Any) -> nn.Module:
        """The network, freshly initialised from torch's global generator.

        Raises `ArchitectureError` for arguments that it does not take.
        """
        self.check(arguments)
        try:
            return self.factory(num_classes=num_classes, **arguments)
        except (ArithmeticError, AssertionError, RuntimeError, TypeError, ValueError) as error:
            reason = str(error).partition("\n")[0]  # torch adds the frames of its own code
            raise self._error(arguments, reason or type(error).__name__) from error

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
            found = error.errors()[0]["msg"].removeprefix("Value error, ")  # pydantic's
            raise ArchitectureError(f"the input: {found}") from error


ARCHITECTURES = Registry[Architecture](
    "architecture",
    package="models.architectures",
    error=ArchitectureError,
    hint=f", and any classifier of torchvision as {TORCHVISION_PREFIX}<name>",
)
Factory = TypeVar("Factory", bound=Callable[..., nn.Module])


def register(
    name: str, input: InputSpec, *, description: str | None = None
) -> Callable[[Factory], Factory]:
    """Register `factory(num_classes=…, **arguments)` as an architecture.

    Its docstring is the description, unless one is given. Raises `ValueError` if the name is taken.
    """

    def decorate(factory: Factory) -> Factory:
        about = description if description is not None else inspect.getdoc(factory) or ""
        entry = Architecture(name, input, factory, " ".join(about.split()))
        ARCHITECTURES.register(entry, stacklevel=2)
        return factory

    return decorate


def names() -> list[str]:
    """The registered architectures, sorted; torchvision's are not among them."""
    return ARCHITECTURES.names()


def complete() -> list[str]:
    """The architectures that a shell completes: ours and torchvision's."""
    models = torchvision("models")
    return names() + [TORCHVISION_PREFIX + each for each in models.list_models(module=models)]


def architecture(name: str) -> Architecture:
    """The architecture of that name; raises `ArchitectureError` if there is none."""
    if name.startswith(TORCHVISION_PREFIX):
        return _torchvision_architecture(name)
    return ARCHITECTURES.get(name)


def describe() -> str:
    """The help of options that take an architecture."""
    return (
        f"A network by name ({', '.join(names())}), or any classifier of torchvision as "
        f"{TORCHVISION_PREFIX}<name>."
    )


def describe_arguments() -> str:
    """The help of options that take an architecture's arguments."""
    arguments = "; ".join(
        f"{each.name}: {', '.join(each.parameters)}" for each in ARCHITECTURES if each.parameters
    )
    return (
        "Of the architecture, as NAME=JSON: hidden=[1000,1000] batchnorm=true. "
        f"There are {arguments}."
    )


def table() -> str:
    """The architectures as a Markdown table."""
    return ARCHITECTURES.table(
        {
            "architecture": lambda each: f"`{each.name}`",
            "what it is": lambda each: each.description,
            "input": lambda each: "×".join(map(str, each.input.shape)),
            "arguments": lambda each: (
                "; ".join(_argument_text(*pair) for pair in each.parameters.items()) or "none"
            ),
        }
    )


def _argument_text(name: str, schema: Mapping[str, Any]) -> str:
    """A parameter in words: `dropout`, number from 0 to 1 (default 0.0)."""
    of = schema.get("items", schema)
    words = [f"{of.get('type', 'any')}{'s' if 'items' in schema else ''}"]
    words += [f"from {of['minimum']}"] if "minimum" in of else []
    words += [f"to {of['maximum']}"] if "maximum" in of else []
    words += [" or ".join(map(json.dumps, of["enum"]))] if "enum" in of else []
    words += [f"(default {json.dumps(schema['default'])})"] if "default" in schema else []
    return f"`{name}`, {' '.join(words)}"


def _torchvision_architecture(name: str) -> Architecture:
    models = torchvision("models")
    known = models.list_models(module=models)
    model = name.removeprefix(TORCHVISION_PREFIX)
    if model not in known:
        near = nearest(model, known)
        meant = f"did you mean {TORCHVISION_PREFIX + near!r}? " if near else ""
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

    spec = InputSpec(channels=3, height=224, width=224, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    return Architecture(name, spec, factory, f"torchvision's {model}.")
