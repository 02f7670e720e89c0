"""Versions with a calibration and a familiarity, fitted in a moment."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from models import checkpoint
from models.checkpoint import Card, Checkpoint
from models.features import PENULTIMATE, Layer, capture
from models.preprocessing import InputSpec
from models.trust import Answers, Fitted, SecondLook, expectation, fit
from tests.networks import SPEC, publish_tiny

CPU = torch.device("cpu")
SOURCE = "seeded noise"
COUNT = 200  # images
Kind = Literal["features", "logits", "calibration"]
"""What the familiarity looks at; `calibration` has none."""


def familiar(seed: int, count: int, spec: InputSpec = SPEC) -> NDArray[np.uint8]:
    """Dark noise (N, C, H, W), which the networks here are familiar with."""
    return np.random.default_rng(seed).integers(0, 128, (count, *spec.shape), dtype=np.uint8)


def strange(count: int, spec: InputSpec = SPEC) -> NDArray[np.uint8]:
    """White pictures (N, C, H, W), which they are not."""
    return np.full((count, *spec.shape), 255, np.uint8)


def image(pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def fitted(
    network: nn.Module, layers: Sequence[Layer], kind: Kind = "features", spec: InputSpec = SPEC
) -> Fitted:
    """The trust of a network that is taken to be right for nine images of ten."""
    batch = spec.normalize(torch.from_numpy(familiar(1, COUNT, spec)))
    with torch.inference_mode(), capture(network, (PENULTIMATE,), layers) as seen:
        logits = network(batch)
    targets = logits.argmax(1)
    targets[::10] = (targets[::10] + 1) % logits.shape[1]
    found = fit(Answers(logits, seen[PENULTIMATE] if kind == "features" else None, targets), SOURCE)
    assert found.trust is not None
    if kind != "calibration":
        return replace(found, expects=expectation.of(familiar(1, COUNT, spec)))
    bare = replace(found.trust, familiarity=None, method=None, statistics=None)
    return Fitted(bare, ("familiarity is left out: no features",))


def publish_trusted(
    repository: Path,
    name: str = "sure",
    kind: Kind = "features",
    second_look: SecondLook | None = None,
) -> Card:
    """Publish a `Tiny` with a trust as the next version, beside one without, named `bare`."""
    publish_tiny(repository, "bare")
    bare = checkpoint.load(checkpoint.find(repository, "bare"), CPU)
    found = fitted(bare.network, bare.layers, kind)
    if second_look is not None:
        assert found.trust is not None
        card = found.trust.calibration.model_copy(update={"second_look": second_look})
        found = replace(found, trust=replace(found.trust, calibration=card))
    return publish_tiny(repository, name, trust=found)


def load(repository: Path, name: str = "sure") -> Checkpoint:
    return checkpoint.load(checkpoint.find(repository, name), CPU)
