"""The parts of a card about trust: what was fitted, from how many images, and how well it does."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat
from pydantic.json_schema import SkipJsonSchema

from models.trust.second_look import SecondLook


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Share = Annotated[FiniteFloat, Field(ge=0, le=1)]
TENTHS = 10


class Usual(_Part):
    """How the calibration images were answered: what arrives later can be compared with it."""

    scores: tuple[Share, ...] = Field(
        min_length=TENTHS,
        max_length=TENTHS,
        description="part of them whose score lies in each tenth of 0 to 1",
    )
    labels: tuple[Share, ...] = Field(description="part of them that got each label")


class Calibration(_Part):
    """How logits become probabilities, and what that was fitted on."""

    temperature: FiniteFloat = Field(
        gt=0,
        description="divides the logits before softmax (Guo et al. 2017); 1 where none is better",
    )
    images: int = Field(ge=1, description="that it was fitted on")
    source: str = Field(
        max_length=1000,
        description="where these images come from, and whether they were trained on",
    )
    ece_before: FiniteFloat = Field(
        ge=0, le=1, description="expected calibration error, 15 bins of equal width, without it"
    )
    ece_after: FiniteFloat = Field(
        ge=0,
        le=1,
        description="the same with it, by cross-fitting: each image with a temperature that was "
        "fitted on others",
    )
    coverage: FiniteFloat = Field(
        0.95,
        gt=0,
        lt=1,
        description="the part of familiar images whose label is in `set`, unless a request asks "
        "for another; an answer whose set has more labels than one is ambiguous",
    )
    usual: Usual | SkipJsonSchema[None] = Field(
        None, description="how these images were answered; absent in older cards"
    )
    second_look: SecondLook | SkipJsonSchema[None] = Field(
        None,
        description="images that are looked at again, mirrored: their logits are the mean of both "
        "looks; absent where that does not pay",
    )


class Familiarity(_Part):
    """How images are compared with those that were trained on."""

    method: str = Field(max_length=100, description="of the statistic, by name")
    layer: str = Field(max_length=1000, description="whose output the statistic takes")
    images: int = Field(ge=1, description="not trained on, that its p-values count")
    threshold: FiniteFloat = Field(
        0.05, ge=0, le=1, description="an answer of a lower familiarity is unsure"
    )
    knows_blank: bool = Field(
        False,
        description="whether images of one colour are judged as others, since there were such "
        "among the calibration images; otherwise they are never familiar",
    )
    strangers: Annotated[str, Field(max_length=1000)] | SkipJsonSchema[None] = Field(
        None,
        description="images of no class, which the method was fitted to tell from the others",
    )
