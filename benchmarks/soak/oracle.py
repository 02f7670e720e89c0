"""The right answers, computed before the service starts: networks and pictures → scores.

The networks run in eager torch, one picture at a time, without any part of the service.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from models import checkpoint, features, preprocessing
from models.checkpoint import Checkpoint
from service.settings import SHIPPED

TOLERANCE = 2e-4  # of a score: another runtime and another batch round otherwise
_APART = 100 * TOLERANCE  # scores of two pictures differ by more, or an exchange could pass unseen
LAYER = "conv1.0"  # of `steady`, whose activations are compared
NETWORKS = {
    "steady": "mnist-cnn",
    "colours": "birds-vs-planes",
    "odd": "mnist",
    "even": "fashion-mnist",
}
"""Network of the oracle → the shipped model that it is.

A version of the model `swapped` with an odd number is the network `odd`, one with an even number
the network `even`, so that the scores show which version has answered.
"""
SWAPPED = "swapped"
_FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "BMP": "image/bmp", "GIF": "image/gif"}
Scores = dict[str, float]


@dataclass(frozen=True)
class Picture:
    encoded: bytes
    media_type: str


class WrongAnswerError(Exception):
    """An answer 200 that is not what the oracle says."""


class Oracle:
    """The right answers. `pictures` has, by network, pictures that it gives different scores."""

    def __init__(self, count: int, seed: int) -> None:
        self.networks = {name: _shipped(model) for name, model in NETWORKS.items()}
        drawn = [_drawn(random.Random(f"{seed} {number}")) for number in range(6 * count)]
        self.pictures: dict[str, list[Picture]] = {}
        self._scores: dict[tuple[str, Picture], Scores] = {}
        for name, network in self.networks.items():
            self.pictures[name] = self._told_apart(name, network, drawn)[:count]
        for picture in self.pictures["odd"]:  # the two are asked for the same
            self._scores["even", picture] = _scores(self.networks["even"], picture)
        steady = self.networks["steady"]
        self._activations = {
            picture: _activation(steady, picture) for picture in self.pictures["steady"]
        }
        [layer] = [layer for layer in steady.layers if layer.name == LAYER]
        self.kernels: NDArray[np.float32] = features.kernels(steady.network, layer).numpy()

    def check(self, model: str, pictures: Sequence[Picture], answer: Mapping[str, Any]) -> None:
        """Compare an answer of `predict`; raises `WrongAnswerError`."""
        version, predictions = answer["version"], answer["predictions"]
        if answer["model"] != model or len(predictions) != len(pictures):
            raise WrongAnswerError(f"{len(predictions)} predictions of {answer['model']}")
        name = ("even", "odd")[version % 2] if model == SWAPPED else model
        for picture, prediction in zip(pictures, predictions, strict=True):
            _compare(self._scores[name, picture], prediction, f"{model}/{version}")

    def check_activations(
        self, pictures: Sequence[Picture], arrays: Mapping[str, NDArray[Any]]
    ) -> None:
        """Compare the activations of `LAYER` in an npz answer. Raises `WrongAnswerError`."""
        expected = np.stack([self._activations[picture] for picture in pictures])
        found = arrays[LAYER]
        if found.shape != expected.shape or not np.allclose(found, expected, atol=1e-3):
            raise WrongAnswerError(f"activations of {LAYER}, {found.shape}")

    def check_kernels(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Compare the kernels of `LAYER`. Raises `WrongAnswerError`."""
        if not np.array_equal(arrays["weight"], self.kernels):
            raise WrongAnswerError(f"kernels of {LAYER}")

    def _told_apart(self, name: str, network: Checkpoint, drawn: list[Picture]) -> list[Picture]:
        """Return pictures whose scores differ from each other's, and store their scores."""
        kept: dict[Picture, Scores] = {}
        for picture in drawn:
            scores = _scores(network, picture)
            if all(_distance(scores, other) > _APART for other in kept.values()):
                kept[picture] = scores
        self._scores |= {(name, picture): scores for picture, scores in kept.items()}
        return list(kept)


def _shipped(model: str) -> Checkpoint:
    return checkpoint.load(checkpoint.find(SHIPPED, model), torch.device("cpu"))


def _compare(expected: Scores, prediction: Mapping[str, Any], whose: str) -> None:
    told = {each["label"]: each["score"] for each in prediction["top"]}
    best = expected.get(prediction["label"], -1.0)
    if (
        told.keys() != expected.keys()
        or _distance(expected, told) > TOLERANCE
        or best < max(expected.values()) - TOLERANCE
    ):
        raise WrongAnswerError(f"{whose} says {prediction['label']}, {told}; right is {expected}")


def _distance(some: Scores, others: Scores) -> float:
    return max(abs(score - others[label]) for label, score in some.items())


def _drawn(chance: random.Random) -> Picture:
    """Draw strokes and shapes on one colour, with random size and format."""
    size = (chance.randint(12, 120), chance.randint(12, 120))
    image = Image.new("RGB", size, _colour(chance))
    pen = ImageDraw.Draw(image)
    for _ in range(chance.randint(1, 6)):
        points = [(chance.randrange(size[0]), chance.randrange(size[1])) for _ in range(3)]
        if chance.random() < 0.5:
            pen.line(points, fill=_colour(chance), width=chance.randint(1, 12))
        else:
            pen.polygon(points, fill=_colour(chance))
    format = chance.choice(list(_FORMATS))
    if chance.random() < 0.5:
        image = image.convert("L")
    buffer = BytesIO()
    image.save(buffer, format)
    return Picture(buffer.getvalue(), _FORMATS[format])


def _colour(chance: random.Random) -> tuple[int, int, int]:
    return chance.randrange(256), chance.randrange(256), chance.randrange(256)


def _batch(network: Checkpoint, picture: Picture) -> torch.Tensor:
    pixels = preprocessing.read(picture.encoded, network.card.input)
    return network.card.input.normalize(torch.from_numpy(pixels.copy())[None])  # (1, C, H, W)


@torch.inference_mode()
def _scores(network: Checkpoint, picture: Picture) -> Scores:
    logits = network.network(_batch(network, picture))
    return dict(zip(network.card.labels, logits.softmax(1)[0].tolist(), strict=True))


@torch.inference_mode()
def _activation(network: Checkpoint, picture: Picture) -> NDArray[np.float32]:
    with features.capture(network.network, [LAYER], network.layers) as recorded:
        network.network(_batch(network, picture))
    activation: NDArray[np.float32] = recorded[LAYER][0].numpy()
    return activation


def publish(repository: Path, name: str, network: Checkpoint) -> int:
    """Publish the network as the next version of the model `name`. Return the number."""
    card = network.card
    published = checkpoint.publish(
        repository,
        network.network,
        name=name,
        architecture=card.architecture,
        arguments=card.arguments,
        labels=card.labels,
        input=card.input,
    )
    return published.version
