"""Trust: how sure an answer is, and whether the image is of the kind that was trained on.

    images that were not trained on → `fitting` → card and trust.safetensors beside the weights
    logits, penultimate features    → `Trust`   → probabilities, sets of labels, familiarity

Training and service call the same functions, so they give the same figures. Nothing here imports
`models.checkpoint`, which reads and writes these parts of a version.
"""

from models.trust.answers import Answers
from models.trust.blank import is_blank
from models.trust.card import Calibration, Familiarity
from models.trust.errors import TrustError
from models.trust.expectation import Expectation
from models.trust.fitting import LEAST_IMAGES, Fitted, Strangers, fit, statistic_of, too_few
from models.trust.second_look import SecondLook
from models.trust.trust import Trust

__all__ = [
    "LEAST_IMAGES",
    "Answers",
    "Calibration",
    "Expectation",
    "Familiarity",
    "Fitted",
    "SecondLook",
    "Strangers",
    "Trust",
    "TrustError",
    "fit",
    "is_blank",
    "statistic_of",
    "too_few",
]
