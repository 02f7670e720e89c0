"""A Gaussian per class, with one shared covariance, over the penultimate features; and the energy.

    features (N, D) → principal axes (N, R) and the rest → distance to the nearest class mean
    logits   (N, K) → energy                             → the sum of both, each in its own scale

The distance is that of Mahalanobis (Lee et al. 2018). The part outside of the principal axes counts
as one more direction (as in "ViM", Wang et al. 2022). The energy (Liu et al. 2020) detects what the
distance doesn't: features between the classes. All is fitted on images that were trained on, so
that the p-values of others stay exact.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from models.trust.errors import TrustError
from models.trust.methods.method import METHODS, Method, Statistic

MAX_AXES = 256
MAX_PRODUCT = 2**17  # axes times features: the multiply-adds for an image
MAX_WIDTH = 16_384  # features; the axes of more would not fit the file
_MAX_IMAGES = 20_000  # that the covariance is computed of; more would only take longer
_MAX_IMAGES_FOR_AXES = 4_000
_SHRINKAGE = 1e-3  # of the mean variance, which is added to each: no direction has none
_IMAGES_AN_AXIS = 4  # at least; a direction seen in fewer images would be a guess
_TENSORS = ("center", "axes", "means", "whitening", "outside", "scales")


class Gaussian(Statistic):
    """The statistic of this method, with these buffers.

    `center` (D). `axes` (R, D). `whitening` (R, R). `means` (K', R): whitened means of the classes
    that have images. `outside` (1): the weight of the part outside of the axes. `scales` (4):
    middle and width of the distance, then of the energy.
    """

    center: Tensor
    axes: Tensor
    whitening: Tensor
    means: Tensor
    outside: Tensor
    scales: Tensor

    def __init__(self, **tensors: Tensor) -> None:
        super().__init__()
        for name in _TENSORS:
            self.register_buffer(name, tensors[name].float().contiguous())

    def width(self) -> int:
        return len(self.center)

    def forward(self, logits: Tensor, features: Tensor) -> Tensor:
        centered = features.float() - self.center  # (N, D)
        return self.of_projected(logits, centered, F.linear(centered, self.axes))

    def of_projected(self, logits: Tensor, centered: Tensor, along: Tensor) -> Tensor:
        """Return the statistic (N,), from centered features (N, D) and along the axes (N, R)."""
        distance, energy = self._distance(centered, along), _energy(logits)
        middle, width, middle_of_energy, width_of_energy = self.scales.unbind()
        return (distance - middle) / width + (energy - middle_of_energy) / width_of_energy

    def parts(self, logits: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two parts of the statistic: the distance (N,) and the energy (N,)."""
        centered = features.float() - self.center
        return self._distance(centered, F.linear(centered, self.axes)), _energy(logits)

    def _distance(self, centered: Tensor, along: Tensor) -> Tensor:
        rest = centered.square().sum(1) - along.square().sum(1)  # (N,)
        white = F.linear(along, self.whitening)  # (N, R)
        squares = white.square().sum(1, keepdim=True) + F.linear(
            white, -2 * self.means, self.means.square().sum(1)
        )  # (N, K')
        squared = squares.amin(1).clamp(min=0) + rest.clamp(min=0) * self.outside
        return squared.sqrt()


def _energy(logits: Tensor) -> Tensor:
    return -torch.logsumexp(logits.float(), dim=1)


def fit(
    logits: Tensor, features: Tensor, targets: Tensor, strangers: Tensor | None = None
) -> Gaussian:
    """Fit on images that were trained on; strangers are not used.

    Raises `TrustError` for features that are too many, not finite or all the same."""
    if features.shape[1] > MAX_WIDTH:
        raise TrustError(
            f"there are {features.shape[1]:,} features; at most {MAX_WIDTH:,} are compared"
        )
    every = max(1, -(-len(features) // _MAX_IMAGES))
    points, targets = features[::every].double(), targets[::every]
    classes, at = targets.unique(return_inverse=True)
    count, width = points.shape
    center = points.mean(0)
    points = points - center  # (N, D)
    total = points.square().mean(0).sum()
    if not torch.isfinite(total) or total <= 0:
        raise TrustError("the features are not finite, or the same for all images")
    most = min(MAX_AXES, width, max(1, MAX_PRODUCT // width), max(1, count // _IMAGES_AN_AXIS))
    axes = _principal_axes(points, most)
    along = points @ axes.T  # (N, R)
    sizes = torch.bincount(at).double()[:, None]
    means = torch.zeros(len(classes), len(axes)).double().index_add_(0, at, along) / sizes
    within = along - means[at]
    covariance = within.T @ within / count  # (R, R)
    shrinkage = _SHRINKAGE * total / width
    variances, directions = torch.linalg.eigh(covariance)
    whitening = (directions / (variances.clamp(min=0) + shrinkage).sqrt()).T  # (R, R)
    outside = (total - along.square().mean(0).sum()).clamp(min=0)
    left = width - len(axes)
    tensors: dict[str, Any] = {
        "center": center,
        "axes": axes,
        "whitening": whitening,
        "means": means @ whitening.T,
        "outside": (1 / (outside / left + shrinkage) if left else outside.new_zeros(())).reshape(1),
    }
    found = Gaussian(**tensors, scales=torch.tensor([0.0, 1.0, 0.0, 1.0]))
    scales = [each for part in found.parts(logits, features) for each in scale_of(part)]
    return Gaussian(**tensors, scales=torch.tensor(scales))


def _principal_axes(points: Tensor, count: int) -> Tensor:
    """Return `count` directions in which centered points (N, D) vary most, orthonormal rows."""
    if min(points.shape) <= 2 * MAX_AXES or count == points.shape[1]:
        axes: Tensor = torch.linalg.svd(points, full_matrices=False)[2]
        return axes[:count]
    some = points[:: -(-len(points) // _MAX_IMAGES_FOR_AXES)].float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the same axes each time
        _, _, directions = torch.svd_lowrank(some, q=min(count, len(some)), niter=2)
    orthonormal: Tensor = torch.linalg.qr(directions.double()).Q
    return orthonormal.T


def scale_of(values: Tensor) -> tuple[float, float]:
    """Return the median of the values, and its distance to their 95th percentile."""
    middle, high = torch.quantile(values.double(), torch.tensor([0.5, 0.95]).double()).tolist()
    return middle, max(high - middle, 1e-6)


def build(tensors: Mapping[str, Tensor], num_classes: int) -> Gaussian:
    if set(tensors) != set(_TENSORS):
        raise TrustError(f"the method gaussian has the tensors {', '.join(_TENSORS)}")
    dimensions = {"axes": 2, "whitening": 2, "means": 2}
    if any(each.dim() != dimensions.get(name, 1) for name, each in tensors.items()):
        raise TrustError("the tensors of the method gaussian don't fit each other")
    count, width = tensors["axes"].shape
    fitting = {
        "center": (width,),
        "axes": (count, width),
        "whitening": (count, count),
        "means": (len(tensors["means"]), count),
        "outside": (1,),
        "scales": (4,),
    }
    if any(tuple(tensors[name].shape) != shape for name, shape in fitting.items()):
        raise TrustError("the tensors of the method gaussian don't fit each other")
    if not (0 < len(tensors["means"]) <= num_classes and min(count, width) > 0):
        raise TrustError("the method gaussian has no class mean, or more of them than labels")
    return Gaussian(**tensors)


METHODS.register(
    Method(
        "gaussian",
        "Distance to the nearest class in the penultimate features (Lee et al. 2018), and energy "
        "(Liu et al. 2020).",
        fit,
        build,
    )
)
