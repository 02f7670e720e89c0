"""Query parameters, one model for each endpoint: query string → values within their limits.

Routes take them as `Annotated[Model, Query()]`; `parse` reads the same models without FastAPI.
"""

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar, cast, get_args, get_origin
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator
from pydantic.fields import FieldInfo
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from models.registry import unknown
from service.errors import InvalidInputError, invalid_parameters
from service.inference.explain_methods.method import METHODS

MAX_KEPT_BYTES = 256  # of a query string whose parameters are kept
MAX_TILE = 512  # pixels
Format = Literal["json", "npz", "png"]
Colormap = Literal["grey", "viridis"]
Normalize = Literal["channel", "layer"]
View = Literal["network", "original"]
Positive = Annotated[int, Field(ge=1)]
Tile = Annotated[int, Field(ge=1, le=MAX_TILE)]


class Parameters(BaseModel):
    """Query parameters; an unknown one is refused, and the nearest known name is proposed.

    One that is missing is refused with what it may be.
    """

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, given: Any) -> Any:
        for name in given:
            if name not in cls.model_fields:
                text = unknown("parameter", name, cls.model_fields)
                raise PydanticCustomError("unknown_parameter", "{text}", {"text": text})
        for name, field in cls.model_fields.items():
            if field.is_required() and name not in given:
                is_choice = get_origin(field.annotation) is Literal
                choices = f"one of {', '.join(get_args(field.annotation))}" if is_choice else None
                known = choices or field.description
                text = f"{name} is missing; it is {known}"
                raise PydanticCustomError("missing_parameter", "{text}", {"text": text})
        return given


class NoParameters(Parameters):
    """For endpoints that take no query parameters."""


class ModelParameters(Parameters):
    version: Positive | SkipJsonSchema[None] = Field(
        None, description="version of the model; default: the highest that loaded"
    )


class _TopK(Parameters):
    top_k: Positive = Field(5, description="classes to list for each image; at most all of them")


class _Format(Parameters):
    format: Format = Field("json", description="of the answer; npz is for numpy.load, png draws")


class _Values(Parameters):
    values: bool = Field(False, description="all values in JSON, not only their figures")


class PredictParameters(_TopK, ModelParameters):
    """What `predict` may be asked for in the URL.

    `familiarity`, `coverage` and `threshold` are for models with a calibration.
    """

    logits: bool = Field(False, description="list the logits too, before calibration")
    familiarity: bool | SkipJsonSchema[None] = Field(
        None,
        description="tell `familiarity`, `unsure`, `why` and `set`, or leave them out; default: "
        "tell them where the model is calibrated",
    )
    coverage: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] | SkipJsonSchema[None] = (
        Field(
            None,
            description="the part of familiar images whose right label is in `set`, above 0 and "
            "below 1; default: that of the setting coverage, or of the model's card",
        )
    )
    threshold: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | SkipJsonSchema[None] = (
        Field(
            None,
            description="an answer of a lower familiarity is unsure, 0 to 1; default: that of the "
            "setting familiarity_threshold, or of the model's card, 0.05",
        )
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for name in ("coverage", "threshold"):
            if self.familiarity is False and getattr(self, name) is not None:
                text = f"{name} says nothing with familiarity=false; leave one of the two out"
                raise PydanticCustomError("contradiction", "{text}", {"text": text})
        return self


class FeaturesParameters(_TopK, _Values, _Format, ModelParameters):
    layer: list[Annotated[str, Field(max_length=1024)]] = Field(
        min_length=1,
        max_length=1024,
        description="the name of a layer, repeated for several; GET /v1/models/{model} lists the "
        "layers, and `penultimate` is the embedding that the last one takes",
    )
    normalize: Normalize = Field(
        "channel", description="of a PNG: each channel by its own range, or by the layer's"
    )
    colormap: Colormap = Field("grey", description="of a PNG")
    tile: Tile | SkipJsonSchema[None] = Field(
        None, description="pixels that a channel of a PNG is wide"
    )
    columns: Annotated[int, Field(ge=1, le=64)] | SkipJsonSchema[None] = Field(
        None, description="of a PNG"
    )


class KernelsParameters(_Values, _Format, ModelParameters):
    channel: Annotated[int, Field(ge=0)] | SkipJsonSchema[None] = Field(
        None, description="only the kernels of this output channel, from 0"
    )
    tile: Tile | SkipJsonSchema[None] = Field(
        None, description="pixels that a kernel of a PNG is wide"
    )


class InputParameters(ModelParameters):
    format: Literal["json", "png"] = Field("json", description="of the answer; png takes one image")


class _ExplainParameters(_TopK, _Format, ModelParameters):
    """Those of every explain method; the methods' own are added below."""

    method: str
    target: Annotated[str, Field(max_length=1024)] | SkipJsonSchema[None] = Field(
        None, description="a label or its index; default: the predicted class"
    )
    view: View = Field(
        "network",
        description="of a PNG: over the image as the network gets it, or as it was sent",
    )
    opacity: float = Field(0.7, ge=0, le=1, description="of the heat in a PNG")

    @model_validator(mode="after")
    def _fit_the_method(self) -> Self:
        taken = METHODS.get(self.method).model.model_fields
        for name in sorted(self.model_fields_set & own_fields().keys() - taken.keys()):
            text = unknown(f"parameter of {self.method}", name, taken)
            raise PydanticCustomError("unknown_parameter", "{text}", {"text": text})
        for name, field in taken.items():
            if field.is_required() and getattr(self, name) is None:
                text = f"{name} is missing; {self.method} needs it: {field.description}"
                raise PydanticCustomError("missing_parameter", "{text}", {"text": text})
        return self

    def own(self) -> dict[str, Any]:
        """The values that were given for parameters that only some explain methods have."""
        return {name: value for name in own_fields() if (value := getattr(self, name)) is not None}


def own_fields() -> dict[str, Any]:
    """Return the query parameters that only some explain methods have: name → (type, field).

    None of them has a default in the OpenAPI document: some generated clients send all defaults,
    and a method refuses the parameters of others. The description tells the default instead.
    Methods may share a parameter if they define it alike. Raises `ValueError` if they define it
    differently, or if it is a parameter of every method.
    """
    fields: dict[str, Any] = {}
    owners: dict[str, tuple[str, str]] = {}
    for method in METHODS:
        for name, field in method.model.model_fields.items():
            if name in _ExplainParameters.model_fields:
                raise ValueError(
                    f"the explain method {method.name!r} defines the parameter {name!r}, which "
                    "every method has: rename it"
                )
            owner, defined = owners.setdefault(name, (method.name, repr(field)))
            if defined != repr(field):
                raise ValueError(
                    f"the explain methods {owner!r} and {method.name!r} define the "
                    f"parameter {name!r} differently: rename one of them"
                )
            fields[name] = _without_default(field)
    return fields


def _without_default(field: FieldInfo) -> tuple[Any, Any]:
    """Return type and field of a parameter that may be left out: its default is only described.

    One without a default is described as needed; its method refuses a request without it.
    """
    parts = field.asdict()
    attributes: dict[str, Any] = dict(parts["attributes"])
    default = None
    if field.is_required():
        default = "needed"
    elif field.default_factory is not None or field.default is not None:
        default = f"default: {_plain(field.get_default(call_default_factory=True))}"
    attributes.pop("default", None)
    attributes.pop("default_factory", None)
    texts = (attributes.pop("description", None), default)
    described = Field(None, description="; ".join(filter(None, texts)) or None, **attributes)
    kind: Any = parts["annotation"]
    if parts["metadata"]:
        kind = Annotated[kind, *parts["metadata"]]
    absent: Any = SkipJsonSchema[None]  # type: ignore[misc]  # mypy knows it in annotations only
    return kind | absent, described


def _plain(value: Any) -> str:
    """Return the value as a client writes it in a URL."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


if TYPE_CHECKING:
    ExplainParameters = _ExplainParameters
else:
    _METHOD = Literal[tuple(METHODS.names())]
    _LISTED = "; ".join(f"{each.name}: {each.description.rstrip('.')}" for each in METHODS)
    ExplainParameters = create_model(
        "ExplainParameters",
        __base__=_ExplainParameters,
        method=(_METHOD, Field(description=_LISTED)),
        **own_fields(),
    )

Model = TypeVar("Model", bound=Parameters)


def parse(model: type[Model], query_string: bytes) -> Model:
    """Parse the parameters in a query string as FastAPI does; raise `InvalidInputError`.

    Equal short query strings share one frozen model.
    """
    read = _read_once if len(query_string) <= MAX_KEPT_BYTES else _read
    return cast(Model, read(model, query_string))


def _read(model: type[Parameters], query_string: bytes) -> Parameters:
    given: dict[str, Any] = {}
    for name, values in _values(query_string).items():
        field = model.model_fields.get(name)
        given[name] = values if field is not None and _is_list(field) else values[0]
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise invalid_parameters(error.errors()) from error


_read_once = lru_cache(1024)(_read)


def check_repetitions(query_string: bytes) -> None:
    """Raise `InvalidInputError` for a parameter that comes more than once and is no list.

    FastAPI would take the last one, and other readers of the same URL the first.
    """
    if b"&" in query_string:
        _values(query_string)


def _values(query_string: bytes) -> dict[str, list[str]]:
    """Return the values of each parameter, in order; raise as `check_repetitions` does."""
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True):
        found.setdefault(name, []).append(value)
    for name, values in found.items():
        if len(values) > 1 and name not in _lists():
            raise InvalidInputError(
                f"invalid parameter: {name} comes {len(values)} times; give it once"
            )
    return found


@lru_cache(1)
def _lists() -> frozenset[str]:
    """The parameters that may be repeated, of all endpoints."""
    models = list(Parameters.__subclasses__())
    for each in models:
        models += each.__subclasses__()
    return frozenset(
        name for each in models for name, field in each.model_fields.items() if _is_list(field)
    )


def _is_list(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is list
