"""An architecture: a factory of networks → its arguments as JSON Schema, its input, a network.

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

from models.architectures import inputs, outputs, own_code
from models.errors import FanlightError
from models.permission import OURS
from models.preprocessing import InputSpec
from models.registry import Parameters, unknown

CLASSES = (
    *("num_classes", "n_classes", "nb_classes", "num_class", "n_class", "classes"),
    *("num_labels", "n_labels", "num_outputs", "n_outputs", "num_output", "n_output"),
    *("out_features", "output_size", "output_dim", "out_dim", "n_out", "num_out"),
)
"""Names of an argument that takes the number of classes; the first that a factory has is taken."""
USUAL_CLASSES = 10  # of a network that is built only to see what it takes


class ArchitectureError(FanlightError):
    """No architecture of that name, or arguments that it does not take."""


@dataclass(frozen=True)
class Architecture:
    """A network that can be built by name, and the input that it was designed for.

    Where no input is `stated`, it is worked out from the network (`models.architectures.inputs`).
    """

    name: str
    stated: InputSpec | None
    factory: Callable[..., nn.Module]
    description: str

    @property
    def input(self) -> InputSpec:
        """The input without any arguments; raises `ArchitectureError` if that is not clear."""
        return self.stated if self.stated is not None else self.input_for({})

    @cached_property
    def _signature(self) -> tuple[inspect.Parameter, ...]:
        """The arguments of the factory; annotations that can't be evaluated are left out."""
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

        It is `num_classes` for a factory that takes any argument.
        """
        there = {each.name: each for each in self._signature if each.kind in _BY_NAME}
        for name in CLASSES:
            if name in there and _counts(there[name]):
                return name
        return "num_classes" if self.is_open_ended else None

    @property
    def usual_classes(self) -> int | None:
        """How many classes the network has if nobody says; None if it must be said."""
        default = next((p.default for p in self._signature if p.name == self.classes), None)
        return default if isinstance(default, int) else None

    @cached_property
    def _arguments(self) -> type[BaseModel]:
        """A model of the factory's arguments, from its signature, without `num_classes`.

        Its fields have numbers for names, since an argument may be called like a method of
        pydantic's.
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
            faults = "; ".join(map(_fault, error.errors()))
            raise self._error(arguments, faults) from error

    def _error(self, arguments: Mapping[str, Any], reason: object) -> ArchitectureError:
        return ArchitectureError(
            f"architecture {self.name!r} can't be built with {dict(arguments)}: {reason}"
        )

    def build(self, num_classes: int, /, **arguments: Any) -> nn.Module:
        """The network, freshly initialised from torch's global generator.

        Linear layers that need it get images flattened; of several outputs the logits are returned
        (`outputs.logits_of`). Whether a fixed head has so many outputs is
        for `models.checkpoint.trial` to see. Raises `ArchitectureError` for arguments that it does
        not take.
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
        """Whether Fanlight's own code builds it: then it takes images, and returns logits alone."""
        module = getattr(self.factory, "__module__", None) or ""
        return module.partition(".")[0] in OURS

    def takes(self, arguments: Mapping[str, Any]) -> inputs.Takes:
        """What the network takes that is built with these arguments, as far as trying it tells."""
        try:
            return _takes(self, json.dumps(dict(arguments), sort_keys=True))
        except TypeError as error:
            raise self._error(arguments, error) from error

    def input_for(self, arguments: Mapping[str, Any], **changes: Any) -> InputSpec:
        """The input of the network that is built with those arguments, and with those changes.

        The argument `channels`, of an architecture that has it, decides how many the input has,
        and `side` its height and width. Where the channels are not its own, pixels stay in [0, 1]
        unless the changes say otherwise. One value of mean or std holds for all channels. Another
        height or width undoes a `resize_size`, which belongs to the old one. Raises
        `ArchitectureError` for an impossible input, and for one that can't be worked out.
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
            found = error.errors()[0]["msg"].removeprefix("Value error, ")  # pydantic's
            raise ArchitectureError(f"the input: {found}") from error

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
    """Whether a number fits the argument, as far as annotation and default tell."""
    is_number = parameter.default in (parameter.empty, None) or isinstance(parameter.default, int)
    try:
        TypeAdapter(_type(parameter.annotation)).validate_python(USUAL_CLASSES, strict=True)
    except ValidationError:
        return False
    return is_number


def _type(annotation: Any) -> Any:
    """The annotation, or Any for one that JSON has no values of."""
    if annotation is inspect.Parameter.empty:
        return Any
    try:
        TypeAdapter(annotation).json_schema()
    except (PydanticUserError, TypeError):
        return Any
    return annotation


class _JsonSchema(GenerateJsonSchema):
    """Leaves out defaults that JSON does not have, such as a class."""

    def emit_warning(self, kind: object, detail: str) -> None:
        """Nothing: a caller could not mend it."""


def _fault(fault: Any) -> str:
    place = ".".join(map(str, fault["loc"]))
    if fault["type"] == "missing":
        return f"it needs the argument {place!r}"
    return f"{place}: {fault['msg']}, not {fault['input']!r}"
