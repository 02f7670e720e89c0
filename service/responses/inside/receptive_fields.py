"""The answer of `receptive_fields`: how much of the image each layer sees → JSON."""

from collections.abc import Mapping

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from models.checkpoint import Card
from models.structure.receptive_field import Level, ReceptiveField
from service.responses.schemas import Schema

NONE = (
    "this network's layers can't be measured: gradients don't pass through it, or it is too large"
)


class Seen(Schema):
    """The box of pixels that a value in the middle of a layer's output depends on."""

    layer: str
    height: int = Field(description="in pixels of the network's input, at most the whole image")
    width: int = Field(description="in pixels of the network's input, at most the whole image")
    level: Level = Field(
        description="by the larger of height and width, each as a share of the input's: low below "
        "a quarter, middle up to half, else high"
    )


class ReceptiveFields(Schema):
    """What the layers and blocks of a network see; those that see nothing are left out."""

    model: str
    version: int
    layers: list[Seen] = Field(description="in the order of the forward pass, blocks behind layers")
    note: str | SkipJsonSchema[None] = Field(None, description="why there are none")


def answer(fields: Mapping[str, ReceptiveField], card: Card) -> ReceptiveFields:
    """Make the answer; `fields` are by the name of the layer."""
    return ReceptiveFields(
        model=card.name,
        version=card.version,
        layers=[
            Seen(layer=name, height=each.height, width=each.width, level=each.level)
            for name, each in fields.items()
        ],
        note=None if fields else NONE,
    )
