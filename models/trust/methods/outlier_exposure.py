"""The Gaussian's statistic, and a plane between the classes and images of no class (strangers).

    features (N, D) → a logistic regression, known or stranger → log-odds (N,)
    Gaussian's statistic + what the log-odds are above the usual, each in its own scale

Log-odds below the usual are ignored: an image far away on the classes' side is as strange. A
network that was trained with strangers as further classes has features that tell them apart.
Outliers of some kinds also teach to detect those of others (Hendrycks et al. 2019).
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from models.trust.errors import TrustError
from models.trust.methods import gaussian
from models.trust.methods.gaussian import Gaussian
from models.trust.methods.method import METHODS, Method, Statistic

_PENALTY = 0.01  # times half the squared length of the weights
_MAX_STEPS = 100
_MAX_VALUES = 2**23  # of the features of either side: 64 MiB as float64
_TENSORS = ("weight", "bias", "odds_scale")
_INNER = "gaussian."


class OutlierExposure(Statistic):
    """The statistic of this method. `weight` (D) and `bias` (1) give the log-odds of a stranger.

    `odds_scale` (2) is the middle and width of the log-odds for images of the classes.
    """

    weight: Tensor
    bias: Tensor
    odds_scale: Tensor

    def __init__(self, gaussian: Gaussian, **tensors: Tensor) -> None:
        super().__init__()
        self.gaussian = gaussian
        for name in _TENSORS:
            self.register_buffer(name, tensors[name].float().contiguous())

    def width(self) -> int:
        return len(self.weight)

    def forward(self, logits: Tensor, features: Tensor) -> Tensor:
        """Turn logits (N, K) and features (N, D) into the statistic (N,).

        One product takes the axes and the weight together: a second one would cost 3 µs per image.
        """
        middle, width = self.odds_scale.unbind()
        centered = features.float() - self.gaussian.center  # (N, D)
        along = F.linear(centered, torch.cat([self.gaussian.axes, self.weight[None]]))  # (N, R + 1)
        offset = self.gaussian.center @ self.weight + self.bias - middle
        above = ((along[:, -1] + offset) / width).clamp(min=0)
        return self.gaussian.of_projected(logits, centered, along[:, :-1]) + above

    def log_odds(self, features: Tensor) -> Tensor:
        """Return the log-odds of being a stranger against being of a class, (N, D) → (N,)."""
        return features.float() @ self.weight + self.bias


def _fit(
    logits: Tensor, features: Tensor, targets: Tensor, strangers: Tensor | None
) -> OutlierExposure:
    """Fit the Gaussian and the plane.

    Raises `TrustError` without strangers, and for features that the Gaussian doesn't take.
    """
    if strangers is None or not len(strangers):
        raise TrustError("the method outlier-exposure is fitted on images of strangers too")
    if not torch.isfinite(strangers).all():
        raise TrustError("the features of the strangers are not finite")
    inner = gaussian.fit(logits, features, targets)
    weight, bias = _plane(_some(features), _some(strangers))
    found = OutlierExposure(inner, weight=weight, bias=bias, odds_scale=torch.tensor([0.0, 1.0]))
    scale = torch.tensor(gaussian.scale_of(found.log_odds(features)))
    return OutlierExposure(inner, weight=weight, bias=bias, odds_scale=scale)


def _some(features: Tensor) -> Tensor:
    """Return every row of features (N, D), or every second, third, … to save memory."""
    return features[:: -(-features.numel() // _MAX_VALUES)]


def _plane(known: Tensor, strangers: Tensor) -> tuple[Tensor, Tensor]:
    """Fit a logistic regression that tells strangers (M, D) from known images (N, D).

    Returns its weight (D) and bias (1). Both sides count the same, however many images each has.
    """
    points = torch.cat([known, strangers]).double()
    center, spread = points.mean(0), points.std(0) + 1e-6
    points = (points - center) / spread
    is_stranger = torch.cat([torch.zeros(len(known)), torch.ones(len(strangers))]).double()
    counts = torch.tensor([len(known), len(strangers)]).double()
    of_each = (0.5 / counts)[is_stranger.long()]
    weight = torch.zeros(points.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=_MAX_STEPS, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        odds = points @ weight + bias
        missed = F.binary_cross_entropy_with_logits(odds, is_stranger, of_each, reduction="sum")
        found: Tensor = missed + _PENALTY / 2 * weight.square().sum()
        found.backward()
        return found

    with torch.enable_grad():
        optimizer.step(loss)
    scaled = weight.detach() / spread
    return scaled, bias.detach() - scaled @ center


def _build(tensors: Mapping[str, Tensor], num_classes: int) -> OutlierExposure:
    inner = {n.removeprefix(_INNER): each for n, each in tensors.items() if n.startswith(_INNER)}
    own: dict[str, Any] = {n: each for n, each in tensors.items() if not n.startswith(_INNER)}
    if set(own) != set(_TENSORS):
        raise TrustError(
            f"the method outlier-exposure has the tensors {', '.join(_TENSORS)}, and those of "
            "the method gaussian"
        )
    found = gaussian.build(inner, num_classes)
    shapes = {"weight": (found.width(),), "bias": (1,), "odds_scale": (2,)}
    if any(tuple(own[name].shape) != shape for name, shape in shapes.items()):
        raise TrustError("the tensors of the method outlier-exposure don't fit each other")
    return OutlierExposure(found, **own)


METHODS.register(
    Method(
        "outlier-exposure",
        "The method gaussian, and how far an image lies on the side of strangers that were trained "
        "against (Hendrycks et al. 2019).",
        _fit,
        _build,
    )
)
