"""Labels that are probably wrong: predicted probabilities (N, num_classes) → pictures, worst first.

Confident learning (Northcutt, Jiang and Chuang 2021, Confident Learning: Estimating Uncertainty in
Dataset Labels): each class has a threshold, the mean probability of the class over the pictures
with its label. A picture is counted as another class if its probability for that class is at least
the threshold. The probabilities must be those of a network that has not been trained on the
picture.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import features
from models.preprocessing import InputSpec
from models.scores import is_right
from models.structure import reading
from training.data import storage
from training.data.datasets import ImageSet
from training.fitting import predicting
from training.fitting.predicting import EVALUATION_BATCH
from training.fitting.state import Fitted

HELD_OUT = "the network, which was not trained on them"
CROSS_VALIDATED = (
    "a linear layer on the network's features, trained five times without the pictures that it "
    "is asked about"
)
TRAINED_FEATURES = "; the features were trained with all these labels, which hides some wrong ones"
FOLDS = 5
_MOST_FEATURES = 256  # more are projected at random to so many
_DECAY = 1e-3  # weight of the squared norm; found on CIFAR-10 with wrong labels
_STEPS = 50  # of L-BFGS


@dataclass(frozen=True)
class Judged:
    """The pictures of one split, with probabilities by a network or layer not trained on them.

    `probabilities` (N, num_classes) are in the order of `images`. `how` tells the reader of the
    page which network or layer gave them.
    """

    split: str
    images: ImageSet
    probabilities: Tensor
    how: str

    @property
    def right(self) -> int:
        """The number of pictures whose label is the most probable class."""
        return int(is_right(self.probabilities, self.images.targets.cpu()).sum())


@dataclass(frozen=True)
class Suspect:
    """A picture uint8 (C, H, W) with the label `given`, whose class is probably `likely`."""

    split: str
    name: str
    picture: Tensor
    given: str
    likely: str
    probability_given: float
    probability_likely: float

    @property
    def margin(self) -> float:
        return self.probability_given - self.probability_likely


def judge(
    fitted: Fitted, test: ImageSet, test_logits: Tensor, spec: InputSpec, seed: int
) -> list[Judged]:
    """Return probabilities for all pictures of a training, by a network or layer not trained on
    them."""
    judged = [Judged("test", test, test_logits.softmax(1), HELD_OUT)]
    if fitted.held_out is not None and len(fitted.held_out):
        logits = predicting.predict(fitted.network, fitted.held_out, spec).cpu()
        judged.append(Judged("validation", fitted.held_out, logits.softmax(1), HELD_OUT))
    probabilities = cross_validated(fitted.network, fitted.trained_on, spec, seed)
    if probabilities is not None:
        how = CROSS_VALIDATED if fitted.is_frozen else CROSS_VALIDATED + TRAINED_FEATURES
        judged.append(Judged("train", fitted.trained_on, probabilities, how))
    return judged


def suspects(judged: Sequence[Judged]) -> list[Suspect]:
    """Return the pictures whose label is probably wrong, the surest first.

    The thresholds of the classes are computed over all splits that were judged in the same way.
    """
    found: list[Suspect] = []
    for how in dict.fromkeys(each.how for each in judged):
        same = [each for each in judged if each.how == how and len(each.images)]
        if not same or not all(each.probabilities.isfinite().all() for each in same):
            continue
        limits = thresholds(
            torch.cat([each.probabilities for each in same]),
            torch.cat([each.images.targets.cpu() for each in same]),
        )
        found += [suspect for each in same for suspect in _suspects(each, limits)]
    return sorted(found, key=lambda suspect: suspect.margin)


def hardest(judged: Sequence[Judged], named: Sequence[Suspect], most: int) -> list[Suspect]:
    """Return the `most` pictures whose labels are least probable, without those in `named`."""
    without = {(each.split, each.name) for each in named}
    found: list[Suspect] = []
    for each in judged:
        if not len(each.images) or not each.probabilities.isfinite().all():
            continue
        rows, targets = torch.arange(len(each.images)), each.images.targets.cpu()
        others = each.probabilities.clone()
        others[rows, targets] = -1.0
        score, likely = others.max(1)
        margin = each.probabilities[rows, targets] - score
        worst = margin.argsort()[: most + len(without)].tolist()
        found += [_suspect(each, index, int(likely[index])) for index in worst]
    left = [each for each in found if (each.split, each.name) not in without]
    return sorted(left, key=lambda each: each.margin)[:most]


def thresholds(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Return the mean probability of each class over the pictures that have its label.

    It is NaN for a class without pictures.
    """
    return torch.stack(
        [probabilities[targets == j, j].mean() for j in range(probabilities.shape[1])]
    )


def _suspects(judged: Judged, limits: Tensor) -> Iterator[Suspect]:
    probabilities, targets = judged.probabilities, judged.images.targets.cpu()
    confident = probabilities.where(probabilities >= limits, -1.0)
    score, likely = confident.max(1)
    doubtful = ((score >= 0) & (likely != targets)).nonzero().flatten()
    for index in doubtful.tolist():
        yield _suspect(judged, index, int(likely[index]))


def _suspect(judged: Judged, index: int, likely: int) -> Suspect:
    labels, given = judged.images.labels, int(judged.images.targets[index])
    return Suspect(
        judged.split,
        judged.images.name(index),
        judged.images.images[index].cpu(),
        labels[given],
        labels[likely],
        float(judged.probabilities[index, given]),
        float(judged.probabilities[index, likely]),
    )


def cross_validated(
    network: nn.Module, images: ImageSet, spec: InputSpec, seed: int
) -> Tensor | None:
    """Return cross-validated probabilities (N, num_classes) of pictures that were trained on.

    They come from a linear layer on the inputs of the network's last layer. It is trained five
    times: for each fifth of the pictures on the other four. Returns None if the network has no such
    layer, if the inputs are not finite, if there are fewer than ten pictures, or if there are too
    many that are kept in a file.
    """
    most = storage.most_compared([images.images])
    if most is not None and len(images) > most:
        return None
    inputs = _features(network, images, spec, seed)
    if inputs is None or len(images) < 2 * FOLDS or not inputs.isfinite().all():
        return None
    inputs = (inputs - inputs.mean(0)) / inputs.std(0).clamp_min(1e-6)
    targets, count = images.targets.cpu(), len(images.labels)
    generator = torch.Generator().manual_seed(seed)
    versions = images.versions()  # of one picture, which are asked together
    fold = (torch.randperm(int(versions.max()) + 1, generator=generator) % FOLDS)[versions]
    probabilities = torch.zeros(len(images), count)
    for number in range(FOLDS):
        rest, asked = fold != number, fold == number
        weight, bias = _linear(inputs[rest], targets[rest], count)
        probabilities[asked] = (inputs[asked] @ weight + bias).softmax(1)
    return probabilities


@torch.inference_mode()
def _features(network: nn.Module, images: ImageSet, spec: InputSpec, seed: int) -> Tensor | None:
    """Return the inputs of the last layer, (N, D) on the CPU; None if there is no such layer."""
    layers = reading.layers(network, spec.normalize(images.images[:1]))
    if features.embedding_layer(layers) is None:
        return None
    parts, projection = [], None
    for batch in images.images.split(EVALUATION_BATCH):
        with features.capture(network, [features.PENULTIMATE], layers) as activations:
            network(spec.normalize(batch))
        part = activations[features.PENULTIMATE].float().cpu()
        size = part.shape[1]
        if size > _MOST_FEATURES:
            if projection is None:
                generator = torch.Generator().manual_seed(seed)
                projection = torch.randn(size, _MOST_FEATURES, generator=generator)
                projection /= math.sqrt(size)
            part = part @ projection
        parts.append(part)
    return torch.cat(parts)


@torch.inference_mode(False)
def _linear(inputs: Tensor, targets: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Fit a multinomial logistic regression; return its weight (D, num_classes) and bias.

    The squared weights are penalised by `_DECAY`. The fit ends after `_STEPS` steps at the latest.
    """
    inputs = inputs.clone()  # which may have been computed in inference mode
    weight = torch.zeros(inputs.shape[1], count, requires_grad=True)
    bias = torch.zeros(count, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        penalty = _DECAY * weight.square().sum()
        value = F.cross_entropy(inputs @ weight + bias, targets) + penalty
        value.backward()
        return value

    optimizer.step(loss)
    return weight.detach(), bias.detach()
