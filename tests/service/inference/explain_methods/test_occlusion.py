"""Occlusion in large batches is captum's, whatever computes the logits."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from captum import attr
from torch import Tensor, nn

from models.preprocessing import InputSpec, Pixels
from models.torchvision_import import torchvision
from service.inference import explanation
from service.inference.explain_methods.occlusion import Occlusion, OcclusionParameters
from service.inference.explanation import Question
from tests.cases import one_in
from tests.models.structure.test_whole_image import transformer
from tests.service.inference.explain_methods import shipped

LEVELS = {"black": 0, "grey": 128, "white": 255}


def theirs(
    network: nn.Module, spec: InputSpec, pixels: Pixels, target: int, asked: OcclusionParameters
) -> Tensor:
    """captum's occlusion of one image, (H, W)."""
    image = torch.from_numpy(pixels)[None]
    channels, window, stride = spec.channels, asked.window, asked.stride
    with torch.no_grad():
        values = attr.Occlusion(network).attribute(
            spec.normalize(image),
            sliding_window_shapes=(channels, window, window),
            strides=(channels, stride, stride),
            baselines=spec.normalize(torch.full_like(image, LEVELS[asked.baseline])),
            target=target,
            perturbations_per_eval=16,
        )
    heat: Tensor = values[0, 0]
    return heat


@pytest.mark.parametrize(
    "given",
    [
        {"window": 7, "stride": 6, "baseline": "grey"},
        {"window": 10, "stride": 9, "baseline": "white"},
        {"window": 28, "stride": 28},
        {"window": 9},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", one_in(3, shipped.NAMES))
def test_several_images_of_the_shipped_models(name: str, given: dict[str, Any]) -> None:
    loaded, _ = shipped.load(name)
    spec = loaded.card.input
    asked = Occlusion().resolve(OcclusionParameters(**given), loaded)
    images = shipped.images(spec, 2)
    found = shipped.explained(name, images, "occlusion", **given)
    for pixels, each in zip(images, found, strict=True):
        expected = theirs(loaded.network, spec, pixels, each.target, asked)
        scale = max(1.0, expected.abs().max().item())
        np.testing.assert_allclose(each.values, expected.numpy(), atol=2e-5 * scale)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("resnet18", (1, 64, 64)),
        ("resnet18", (3, 61, 90)),
        ("convnext_tiny", (3, 32, 48)),
        ("swin_t", (3, 32, 40)),
        ("transformer", (3, 64, 64)),
    ],
    ids=str,
)
def test_networks_in_torch(name: str, shape: tuple[int, int, int]) -> None:
    """Of any kind and size, where no runtime but torch may run beside predictions."""
    channels, height, width = shape
    torch.manual_seed(0)
    if name == "transformer":
        network = transformer(image_size=64).eval()
    else:
        network = getattr(torchvision("models"), name)(num_classes=5).eval()
    if channels == 1:
        network = nn.Sequential(nn.Conv2d(1, 3, 1), network).eval()
    spec = InputSpec(channels=channels, height=height, width=width)
    asked = OcclusionParameters(window=23, stride=19, baseline="grey")
    images = shipped.images(spec, 2)
    found = explanation.explain(
        shipped.in_torch(network, spec), images, Question(Occlusion(), asked, {}, 1)
    )
    for pixels, each in zip(images, found, strict=True):
        expected = theirs(network, spec, pixels, 1, asked)
        scale = expected.abs().max().item()
        np.testing.assert_allclose(each.values / scale, expected.numpy() / scale, atol=1e-3)


def test_a_window_that_hides_nothing_is_not_run() -> None:
    """Its logit can't change: the map is exactly 0 there. Its pass counts as done."""
    loaded, explainer = shipped.load("mnist")
    spec, sizes = loaded.card.input, []

    class Counting:
        name, independent = "counting", True

        def __call__(self, batch: Pixels) -> Any:
            sizes.append(len(batch))
            assert explainer.runtime is not None
            return explainer.runtime(batch)

        def settle(self) -> None:
            """Nothing to tune."""

    counting = type(explainer)(**{**vars(explainer), "runtime": Counting()})
    question = explanation.question(loaded, "occlusion", {"window": 4, "stride": 4}, "0")
    steps = []
    [found] = explanation.explain(
        counting, shipped.images(spec, 1), question, lambda passes=0: steps.append(passes)
    )
    assert not found.values[:, : spec.width // 3 // 4 * 4].any()
    assert found.values[:, -8:].any()
    windows = 64  # of 4 × 4 pixels
    assert sum(sizes) == 1 + 1 + windows - 2 * 8  # the prediction, and two columns of black ones
    assert max(sizes) <= explainer.batch_size
    assert sum(steps) == explanation.passes(explainer, question) == 2 + windows


def test_a_black_image_needs_one_pass() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of means of nothing
        loaded, _ = shipped.load("mnist")
        black = np.zeros(loaded.card.input.shape, np.uint8)
        [found] = shipped.explained("mnist", [black], "occlusion")
    assert not found.values.any()
