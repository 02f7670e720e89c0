"""Integrated gradients of several images in shared batches are captum's of each alone."""

from typing import Any

import numpy as np
import pytest
import torch
from captum import attr

from service.inference import explanation
from tests.cases import one_in
from tests.service.inference.explain_methods import shipped

LEVELS = {"black": 0, "grey": 128, "white": 255}


@pytest.mark.parametrize(("steps", "baseline"), [(20, "black"), (9, "grey"), (2, "white")])
@pytest.mark.parametrize("name", one_in(3, shipped.NAMES))
def test_several_images(name: str, steps: int, baseline: str) -> None:
    loaded, _ = shipped.load(name)
    spec = loaded.card.input
    images = shipped.images(spec, 3)
    asked: dict[str, Any] = {"steps": steps, "baseline": baseline}
    for target in (1, None):
        found = shipped.explained(name, images, "integrated-gradients", target, **asked)
        for pixels, each in zip(images, found, strict=True):
            image = torch.from_numpy(pixels)[None]
            values, delta = attr.IntegratedGradients(loaded.network).attribute(
                spec.normalize(image),
                baselines=spec.normalize(torch.full_like(image, LEVELS[baseline])),
                target=each.target,
                n_steps=steps,
                return_convergence_delta=True,
            )
            expected = values[0].sum(0).float().numpy()
            scale = max(1.0, np.abs(expected).max())
            np.testing.assert_allclose(each.values, expected, atol=1e-5 * scale)
            assert each.convergence_delta == pytest.approx(delta.item(), abs=1e-3)


def test_steps_are_counted() -> None:
    loaded, explainer = shipped.load("mnist")
    question = explanation.question(loaded, "integrated-gradients", {"steps": 30}, None)
    steps: list[int] = []
    explanation.explain(
        explainer,
        shipped.images(loaded.card.input, 2),
        question,
        lambda passes=0: steps.append(passes),
    )
    assert sum(steps) == 2 * explanation.passes(explainer, question) == 2 * (1 + 30 + 2)
    assert max(steps) <= explainer.gradient_batch_size
