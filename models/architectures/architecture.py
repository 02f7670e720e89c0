"""Architectures: a factory of networks with its arguments as JSON Schema and the input it takes.

Name, description and input stand beside the factory, so that recipes and imports need not repeat
them. Which argument takes the number of classes is read from the signature (`CLASSES`).
"""

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema
from torch import nn

from models import faults
from models.architectures import inputs, outputs, own_code
from models.errors import FanlightError, OptionError
from models.permission import OURS
from models.preprocessing import InputSpec
from models.registry import Parameters, unknown

CLASSES = (
    *("num_classes", "n_classes", "nb_classes", "num_class", "n_class", "classes"),
    *("num_labels", "n_labels", "num_outputs", "n_outputs", "num_output", "n_output"),
    *("out_features", "output_size", "output_dim", "out_dim", "n_out", "num_out"),
)
"""Names under which a factory may take the number of classes, in order of preference."""
USUAL_CLASSES = 10  # of a network that is built only to see what it takes


class ArchitectureError(OptionError):
    """No architecture of that name, or arguments that it does not take."""


@dataclass(frozen=True)
class Architecture:
    """A network that can be built by name, and the input that it was designed for.

    `stated` is that input. If it is None, the input is found by trying the network
    (`models.architectures.inputs`).
    """

    name: str
    stated: InputSpec | None
    factory: Callable[..., nn.Module]
    description: str

    @property
    def input(self) -> InputSpec:
        """The input of the network with its default arguments; raises `ArchitectureError` if it
        can't be worked out."""
        return self.stated if self.stated is not None else self.input_for({})

    @cached_property
    def _signature(self) -> tuple[inspect.Parameter, ...]:
        """The parameters of the factory; empty if it has no signature.

        If one annotation can't be evaluated, all annotations are left out.
        """
        try:
            found = inspect.signature(self.factory, eval_str=True)
        except Exception:  # annotations may name what is imported for type checkers only
            try:
                found = inspect.signature(self.factory)
            except (TypeError, ValueError):  # of some callables written in C
                return ()
            return tuple(p.replace(annotation=p.empty) for p in found.parameters.values())
        return tuple(found.parameters.values())

    @property
    def is_open_ended(self) -> bool:
        """Whether the factory takes any argument (`**kwargs`)."""
        return any(each.kind is each.VAR_KEYWORD for each in self._signature)

    @cached_property
    def classes(self) -> str | None:
        """The name of the argument that takes the number of classes; None where the head is fixed.

        A factory with `**kwargs`, and without one of the `CLASSES`, gets it as `num_classes`.
        """
        there = {each.name: each for each in self._signature if each.kind in _BY_NAME}
        for name in CLASSES:
            if name in there and _counts(there[name]):
                return name
        return "num_classes" if self.is_open_ended else None

    @property
    def usual_classes(self) -> int | None:
        """The default number of classes; None if the factory has no default for it."""
        default = next((p.default for p in self._signature if p.name == self.classes), None)
        return default if isinstance(default, int) else None

    @cached_property
    def _arguments(self) -> type[BaseModel]:
        """A pydantic model of the factory's arguments, from its signature, without `num_classes`.

        Its fields are called `argument_0`, `argument_1`, …, since an argument may have the name of
        a pydantic method. The aliases of the fields are the names of the arguments.
        """
        fields: dict[str, Any] = {}
        for number, each in enumerate(self._signature):
            if each.name == "num_classes" or each.kind not in _BY_NAME:
                continue
            is_required = each.default is each.empty and each.name != self.classes
            default = None if each.default is each.empty else each.default
            alias = Field(alias=each.name) if is_required else Field(default, alias=each.name)
            fields[f"argument_{number}"] = (_type(each.annotation), alias)
        config = ConfigDict(arbitrary_types_allowed=True)
        model: type[BaseModel] = create_model(self.name, __config__=config, **fields)
        return model

    @cached_property
    def parameters(self) -> Parameters:
        """The arguments of `build`, as JSON Schema with limits and defaults.

        They come from the signature of the factory: `dropout: Annotated[float, Field(ge=0, le=1)]`.
        """
        properties: dict[str, dict[str, Any]]
        schema = self._arguments.model_json_schema(schema_generator=_JsonSchema)
        properties = schema.get("properties", {})
        return {
            name: {key: value for key, value in each.items() if key != "title"}
            for name, each in properties.items()
            if name != self.classes
        }

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Raise `ArchitectureError` for arguments, as JSON has them, that `build` does not take."""
        known = [str(field.alias) for field in self._arguments.model_fields.values()]
        for name in arguments:
            if name == "num_classes" or (name not in known and not self.is_open_ended):
                raise self._error(arguments, unknown("argument", name, known))
        try:
            text = json.dumps(dict(arguments))
        except TypeError as error:
            raise self._error(arguments, error) from error
        try:
            self._arguments.model_validate_json(text, strict=True)
        except ValidationError as error:
            found = "; ".join(map(_fault, error.errors()))
            raise self._error(arguments, found) from error

    def _error(self, arguments: Mapping[str, Any], reason: object) -> ArchitectureError:
        return ArchitectureError(
            f"architecture {self.name!r} can't be built with {dict(arguments)}: {reason}"
        )

    def build(self, num_classes: int, /, **arguments: Any) -> nn.Module:
        """Build the network, with weights drawn from torch's global generator.

        A hook flattens the images for networks of linear layers that need it. Of a network with
        several outputs, another hook returns the logits only (`outputs.logits_of`). The number of
        outputs of a fixed head is not checked here, but in `models.checkpoint.trial`. Raises
        `ArchitectureError` for arguments that the factory does not take, and if the factory fails.
        """
        self.check(arguments)
        if self.classes is not None:
            arguments = {self.classes: num_classes, **arguments}
        try:
            network = self.factory(**arguments)
        except (FanlightError, torch.OutOfMemoryError):
            raise
        except own_code.FAILURES as error:
            arguments = {name: v for name, v in arguments.items() if name != self.classes}
            raise self._error(arguments, own_code.reason(error)) from error
        if not isinstance(network, nn.Module):
            raise ArchitectureError(
                f"{self.name} returned an object of {type(network).__name__}, where a "
                "torch.nn.Module is needed"
            )
        if inputs.takes_flat(network) or (not self.is_ours and inputs.fails_unless_flat(network)):
            inputs.flatten_before(network)
        if not self.is_ours:
            outputs.take_logits(network)
        return network

    @property
    def is_ours(self) -> bool:
        """Whether the factory is Fanlight's: its networks take images and return logits only."""
        module = getattr(self.factory, "__module__", None) or ""
        return module.partition(".")[0] in OURS

    def takes(self, arguments: Mapping[str, Any]) -> inputs.Takes:
        """Return the inputs that the network with these arguments takes, found by trying."""
        try:
            return _takes(self, json.dumps(dict(arguments), sort_keys=True))
        except TypeError as error:
            raise self._error(arguments, error) from error

    def input_for(self, arguments: Mapping[str, Any], **changes: Any) -> InputSpec:
        """Return the input of the network built with `arguments`, with the fields in `changes`.

        The argument `channels`, if the architecture has it, sets the channels of the input, and
        `side` its height and width. If the channels differ from the stated ones, pixels stay in [0,
        1] unless `changes` has a mean and std. A single value of mean or std holds for all
        channels. Another height or width removes `resize_size`, which belongs to the old one.
        Raises `ArchitectureError` for an invalid input, and for one that can't be worked out.
        """
        own = self._own_input(arguments, changes)
        channels = own["channels"]
        for name in ("mean", "std"):
            if len(changes.get(name, ())) == 1 and channels in (1, 3):
                changes[name] = tuple(changes[name]) * channels
        if any(name in changes and changes[name] != own[name] for name in ("height", "width")):
            own |= {"resize_size": None}
        try:
            return InputSpec.model_validate(own | changes)
        except ValidationError as error:
            raise ArchitectureError(f"the input: {faults.first(error)}") from error

    def _own_input(
        self, arguments: Mapping[str, Any], changes: Mapping[str, Any]
    ) -> dict[str, Any]:
        if self.stated is None:
            try:
                found = inputs.choose(self.name, self.takes(arguments), changes)
            except inputs.UnclearInputError as error:
                raise ArchitectureError(str(error)) from error
            return InputSpec.model_construct(**found, mean=(), std=()).model_dump()
        own = self.stated.model_dump()
        channels = changes.get("channels", arguments.get("channels", self.stated.channels))
        own["channels"] = channels
        if "side" in arguments:
            own |= {"height": arguments["side"], "width": arguments["side"]}
        if channels != self.stated.channels:
            own |= {"mean": (), "std": ()}
        return own


@cache
def _takes(architecture: Architecture, arguments: str) -> inputs.Takes:
    with torch.random.fork_rng(devices=[]):
        classes = architecture.usual_classes or USUAL_CLASSES
        return inputs.takes(architecture.build(classes, **json.loads(arguments)))


_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _counts(parameter: inspect.Parameter) -> bool:
    """Return whether the argument can take an integer, judging by annotation and default."""
    is_number = parameter.default in (parameter.empty, None) or isinstance(parameter.default, int)
    try:
        TypeAdapter(_type(parameter.annotation)).validate_python(USUAL_CLASSES, strict=True)
    except ValidationError:
        return False
    return is_number


def _type(annotation: Any) -> Any:
    """Return the annotation, or `Any` if it is missing or has no JSON Schema."""
    if annotation is inspect.Parameter.empty:
        return Any
    try:
        TypeAdapter(annotation).json_schema()
    except (PydanticUserError, TypeError):
        return Any
    return annotation


class _JsonSchema(GenerateJsonSchema):
    """A generator of JSON Schema that leaves out defaults JSON can't express, such as a class."""

    def emit_warning(self, kind: object, detail: str) -> None:
        """Ignore warnings about such defaults, since a caller can't do anything about them."""


def _fault(fault: Any) -> str:
    place = ".".join(map(str, fault["loc"]))
    if fault["type"] == "missing":
        return f"it needs the argument {place!r}"
    return f"{place}: {faults.with_value(fault)}"
