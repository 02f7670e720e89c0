"""What `get_model` tells of a version's calibration and familiarity, in words and numbers."""

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from models.checkpoint import Card
from models.trust import Calibration, Familiarity
from service.inference.doubt import Judge
from service.responses.schemas import Schema

_MOST_LABELS = 20  # that are named


class Reliance(Schema):
    """How far the answers of a version can be relied on; the card has all the numbers."""

    calibrated: bool = Field(description="whether score is a calibrated probability")
    calibration_images: int | SkipJsonSchema[None] = Field(
        None, description="that the calibration was fitted on"
    )
    coverage: float | SkipJsonSchema[None] = Field(
        None, description="part of familiar images whose right label is in `set`, in force now"
    )
    knows_strangers: bool = Field(description="whether answers have a familiarity")
    familiarity_images: int | SkipJsonSchema[None] = Field(
        None, description="that the familiarity compares an image with"
    )
    threshold: float | SkipJsonSchema[None] = Field(
        None, description="familiarity below which an answer is unsure, in force now"
    )
    description: str = Field(description="the same in words, or why a part is missing")
    expects: str = Field(description="which images the version is for, in words and numbers")


def of(card: Card, judge: Judge | None) -> Reliance:
    """Describe how far the answers of a version can be relied on.

    `judge` has the coverage and threshold in force; None means that there is no calibration.
    """
    if judge is None:
        description = _not_calibrated(card)
        return Reliance(
            calibrated=False,
            knows_strangers=False,
            description=description,
            expects=expected(card),
        )
    calibration, familiarity = judge.trust.calibration, judge.trust.familiarity
    return Reliance(
        calibrated=True,
        calibration_images=calibration.images,
        coverage=judge.coverage,
        knows_strangers=familiarity is not None,
        familiarity_images=familiarity.images if familiarity else None,
        threshold=judge.threshold if familiarity else None,
        description=_described(card, judge, calibration, familiarity),
        expects=expected(card),
    )


def expected(card: Card) -> str:
    """Which images a version is for: their classes, how the network sees them, what is usual."""
    spec = card.input
    origin = f", as of the data set {card.training.data}" if card.training else ""
    many = len(card.labels) > _MOST_LABELS
    labels = ", ".join(card.labels[:_MOST_LABELS]) + (", …" if many else "")
    words = [f"Images of one of {len(card.labels)} classes{origin}: {labels}."]
    colours = "grey" if spec.channels == 1 else "coloured"
    seen = f"The network sees {spec.width} × {spec.height} {colours} pixels"
    if spec.framing is not None:
        kind = "strokes of one ink" if spec.framing.subject == "strokes" else "one object"
        words.append(
            f"{seen}: {kind}, on any even ground, found in the image, centred, and shown light on "
            "black."
        )
    elif spec.resize == "stretch":
        words.append(f"{seen}: the whole image, stretched to that shape.")
    else:
        words.append(f"{seen}: the middle of the image, as much as has that shape.")
    if card.expects is not None:
        words.append(f"So seen, {card.expects.words()}: each in 98 of 100 training images.")
    return " ".join(words)


def _described(
    card: Card, judge: Judge, calibration: Calibration, familiarity: Familiarity | None
) -> str:
    words = [
        f"score is calibrated on {_images(calibration.images)} ({calibration.source}): its "
        f"expected calibration error was {calibration.ece_before:.3f} before and is "
        f"{calibration.ece_after:.3f}.",
        f"set has the right label for {_percent(judge.coverage)} of familiar images or more; an "
        "answer whose set has several labels, or of which no label is probable enough, is unsure, "
        "because it is ambiguous.",
    ]
    if (look := calibration.second_look) is not None:
        words.append(
            f"An image whose top softmax probability is below {look.below:.3g} "
            f"({_percent(look.part)} of these images) is looked at again, mirrored: its logits are "
            "the mean of both looks. Its familiarity, feature maps and explanation are those of "
            "the first."
        )
    if familiarity is None:
        words.append(f"Answers have no familiarity{_because(card)}. {_remedy(card)}")
    else:
        words.append(
            f"familiarity compares an image with {_images(familiarity.images)} that were not "
            f"trained on (method {familiarity.method}, layer {familiarity.layer}); an answer "
            f"below {judge.threshold:g} is unsure, because the image is unfamiliar: "
            f"about {_percent(judge.threshold)} of familiar images are."
        )
    return " ".join(words)


def _not_calibrated(card: Card) -> str:
    return (
        f"score is the softmax of the logits, and nothing tells an unfamiliar image: this version "
        f"has no calibration{_because(card)}. {_remedy(card)}"
    )


def _because(card: Card) -> str:
    return f" ({card.trust_note})" if card.trust_note else ""


def _remedy(card: Card) -> str:
    return f"`fanlight calibrate {card.name} --data FOLDER` adds it, as a new version."


def _images(count: int) -> str:
    return f"{count:,} images" if count != 1 else "1 image"


def _percent(part: float) -> str:
    return f"{100 * part:.4g} %"
