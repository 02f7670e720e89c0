"""What a framing rule says about the images that a network was trained on."""

from typing import Literal, NamedTuple

Subject = Literal["strokes", "object"]
Centre = Literal["mass", "box"]


class Rule(NamedTuple):
    """The frame of the training images: the subject light on black, at a fixed size and place.

    `subject` is `strokes` (lines of one ink) or `object` (a thing with shades of its own). `fill`
    is the subject's longer side as a fraction of the input's. `centre` says which point of the
    subject is placed: its centre of mass (`mass`), or the centre of the box around it (`box`).
    `middle` is where that point is placed, as a fraction of the input's side.
    """

    subject: Subject
    fill: float
    centre: Centre
    middle: float


RULES = {
    "digits": Rule("strokes", 20 / 28, "mass", 14.5 / 28),
    "drawings": Rule("strokes", 0.7, "box", 0.5),
    "clothes": Rule("object", 1.0, "box", 0.5),
}
"""Rules by the name that a recipe calls them. Digits lie as MNIST's do: 20 pixels long, with the
centre of mass in pixel 14 of 28 (LeCun et al. 1998). Clothes fill the picture, as FashionMNIST's
(Xiao et al. 2017)."""
