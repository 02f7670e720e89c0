"""Frame a picture as the training images are framed: any picture → the subject, light on black.

    picture → `already` (the data set's own images are left as they are)
            → `finding.find`: a small copy, its ground, what lies on it → box
            → `frame.framed`: the box at full resolution, its ground removed, centred

Runs in the processes that decode, so it needs numpy and Pillow only.
"""

from models.images.framing.already import LARGEST_LOOKED_AT, already
from models.images.framing.backdrop import HALF, backdrop
from models.images.framing.frame import LEAST_SIDE, Framed, framed
from models.images.framing.rule import RULES, Rule

__all__ = [
    "HALF",
    "LARGEST_LOOKED_AT",
    "LEAST_SIDE",
    "RULES",
    "Framed",
    "Rule",
    "already",
    "backdrop",
    "framed",
]
