"""The shade on which a transparent picture is composited, so that its subject stands out."""

import numpy as np
from PIL import Image

from models.images.framing.rule import Rule

HALF = 127  # levels
_LIGHT = 215  # levels of an object that a white ground would hide
_SAMPLE = 64  # pixels a side that are looked at


def backdrop(image: Image.Image, rule: Rule) -> int:
    """Choose the grey level to composite a transparent picture on: 0, 127 or 255.

    Strokes are laid on black if they are light, else on white. An object is laid on white, as a
    product's photograph, or on grey if it is nearly white itself.
    """
    size = min(_SAMPLE, image.width), min(_SAMPLE, image.height)
    sample = image.resize(size, Image.Resampling.NEAREST).convert("RGBA")
    levels = np.asarray(sample, np.float32)
    alpha = levels[..., 3]
    if not alpha.any():  # too thin to be met: all of it
        levels = np.asarray(image.convert("RGBA").reduce(4), np.float32)
        alpha = levels[..., 3]
    seen = float((levels[..., :3].mean(2) * alpha).sum() / max(float(alpha.sum()), 1.0))
    if rule.subject == "strokes":
        return 0 if seen > HALF else 255
    return HALF if seen > _LIGHT else 255
