"""The card of a version: everything about a checkpoint except its weights."""

import hashlib
from pathlib import Path, PureWindowsPath
from typing import Annotated, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

from models import faults
from models.checkpoint.errors import CheckpointError
from models.checkpoint.folder import LARGEST_CARD, MAX_NAME, NAME
from models.checkpoint.labels import label_problem
from models.checkpoint.place import CARD, Form, Place, placed
from models.checkpoint.stamps import FileStamp, opened
from models.preprocessing import InputSpec
from models.trust.card import Calibration, Familiarity
from models.trust.expectation import Expectation

_MOST_VALUES = 250_000  # in a card


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


_SOURCES = ("dataset", "strangers", "pretrained")  # of a recipe, that may be paths


class TrainingRecord(_Part):
    """How the weights were trained."""

    recipe: dict[str, JsonValue] = Field(description="every choice that decided the weights")
    dataset: str = Field(description="by name, or the folder")
    seed: int = Field(description="of the split, the weights and the order of the pictures")
    epochs: int = Field(description="epochs run")
    selected_epoch: int = Field(description="the epoch whose weights these are, counted from 1")
    seconds: float = Field(description="wall-clock time of the training")
    device: str = Field(description="cpu or cuda")
    torch: str = Field(description="its version")
    commit: str = Field(description="Fanlight's commit, ending in -dirty if files had changed")
    finished: str = Field(description="ISO 8601, UTC")

    @property
    def data(self) -> str:
        """The data sets by name, without the folders in which they lay."""
        return _last_parts(self.dataset)

    def without_folders(self) -> Self:
        """Return a copy without the paths of the person who trained it, which are private."""
        recipe = self.recipe | {
            name: _last_parts(value)
            for name in _SOURCES
            if isinstance(value := self.recipe.get(name), str)
        }
        return self.model_copy(update={"dataset": self.data, "recipe": recipe})


def _last_parts(source: str) -> str:
    """Shorten each path, POSIX or Windows, in data sets joined by a plus to its last part."""
    return " + ".join(PureWindowsPath(each).name or each for each in source.split(" + "))


class Card(_Part):
    """The metadata of a checkpoint: everything except the weights."""

    format: int = Field(1, ge=1, le=1, description="of the card itself")
    name: Annotated[str, Field(pattern=f"^{NAME.pattern}$", max_length=MAX_NAME)] = Field(
        description="of the model, as in the address; that of the folder above the version's"
    )
    version: int = Field(ge=1, description="from 1; that of the folder")
    architecture: str = Field(
        description="a registered name, torchvision/…, timm/…, package.module:Class, or onnx"
    )
    arguments: dict[str, JsonValue] = Field({}, description="that the network is built with")
    labels: tuple[str, ...] = Field(
        description="two or more, in the order of the logits", json_schema_extra={"minItems": 2}
    )
    input: InputSpec = Field(description="how an image becomes what the network takes")
    weights_sha256: str = Field(
        pattern="^[0-9a-f]{64}$", description="of weights.pt, or of the model.onnx of a graph"
    )
    parameters: int = Field(description="how many numbers the network learned")
    feature_layers: tuple[str, ...] = Field(description="in the order of the forward pass")
    expects: Expectation | SkipJsonSchema[None] = Field(
        None, description="what the training images look like; absent where nobody looked at them"
    )
    metrics: dict[str, FiniteFloat] = Field({}, description="test_accuracy and others, by name")
    training: TrainingRecord | SkipJsonSchema[None] = Field(
        None, description="how the weights were trained; absent of imported ones"
    )
    calibration: Calibration | SkipJsonSchema[None] = Field(
        None, description="how logits become probabilities; absent where nothing was fitted"
    )
    familiarity: Familiarity | SkipJsonSchema[None] = Field(
        None, description="how images are compared with those that were trained on"
    )
    trust_sha256: str | SkipJsonSchema[None] = Field(
        None, pattern="^[0-9a-f]{64}$", description="of trust.safetensors, where calibration is"
    )
    trust_note: str | SkipJsonSchema[None] = Field(
        None, max_length=2000, description="what was left out of calibration and familiarity, why"
    )

    @field_validator("labels")
    @classmethod
    def _are_classes(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if (problem := label_problem(labels)) is not None:
            raise ValueError(problem)
        return labels

    @model_validator(mode="after")
    def _has_whole_trust(self) -> Self:
        if (self.calibration is None) != (self.trust_sha256 is None):
            raise ValueError("calibration and trust_sha256 belong together")
        if self.familiarity is not None and self.calibration is None:
            raise ValueError("familiarity needs a calibration")
        return self


def read_card(version: Path | Place) -> Card:
    """Read the card in a version's folder; raise `CheckpointError` if it is invalid."""
    return read_with_stamp(version)[0]


def read_with_stamp(version: Path | Place) -> tuple[Card, FileStamp]:
    place = placed(version)
    with opened(place, CARD) as file:
        content = file.read(LARGEST_CARD + 1)
        stamp = FileStamp.of(file, hashlib.sha256(content).hexdigest())
    if len(content) > LARGEST_CARD:
        raise CheckpointError(f"{CARD} is larger than {LARGEST_CARD:,} bytes")
    if sum(map(content.count, (b",", b"[", b"{"))) > _MOST_VALUES:  # a hundred bytes for each
        raise CheckpointError(f"{CARD} has more than {_MOST_VALUES:,} values")
    try:
        card = Card.model_validate_json(content)
    except ValidationError as error:
        raise CheckpointError(f"{CARD}: {faults.in_file(error)}") from error
    if (card.name, card.version) != (place.name, place.number):
        raise CheckpointError(f"{CARD} is of {card.name}/{card.version}, {_contradicts(place)}")
    return card, stamp


def _contradicts(place: Place) -> str:
    """Return what the name or version in a card does not fit."""
    if place.form is Form.NESTED:
        return f"but lies in the folder {place.name}/{place.number}"
    if place.form is Form.MODEL:
        return (
            f"but lies in the folder {place.number} of {place.root}, which holds the versions of "
            f"one model: {place.name}, by the card of the lowest; put it into a folder whose name "
            "is its version, of a repository with its model"
        )
    return f"but was of {place.name}/{place.number} when the folder {place.root} was listed"
