"""Saliency of several images in one backward pass is captum's of each alone."""

import numpy as np
import pytest
import torch
from captum import attr

from tests.service.inference.explain_methods import shipped


@pytest.mark.parametrize("name", shipped.NAMES)
def test_several_images(name: str) -> None:
    loaded, _ = shipped.load(name)
    spec = loaded.card.input
    images = shipped.images(spec, 3)
    found = shipped.explained(name, images, "saliency")
    for pixels, each in zip(images, found, strict=True):
        batch = spec.normalize(torch.from_numpy(pixels)[None]).requires_grad_()
        expected = attr.Saliency(loaded.network).attribute(batch, target=each.target)[0].amax(0)
        np.testing.assert_allclose(each.values, expected.numpy(), atol=1e-5, rtol=1e-3)
