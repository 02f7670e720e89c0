"""A network's answers to a set of pictures."""

import pytest
import torch
import torch.nn.functional as F

from tests.networks import SPEC, Tiny
from tests.training.fitting.test_loop import CPU
from tests.training.pictures import RECIPE, colors
from training.fitting import predicting, state


class TestEvaluate:
    def test_predict_gives_logits_in_the_order_of_the_pictures(self) -> None:
        network = state.build_network(RECIPE, 3, CPU).eval()
        images = colors(predicting.EVALUATION_BATCH // 3 + 1)
        assert len(images) % predicting.EVALUATION_BATCH
        logits = predicting.predict(network.train(), images, SPEC)
        with torch.inference_mode():
            expected = network.eval()(SPEC.normalize(images.in_memory))
        torch.testing.assert_close(logits, expected)

    def test_figures_cover_the_last_batch(self) -> None:
        network = state.build_network(RECIPE, 3, CPU)
        images = colors(predicting.EVALUATION_BATCH // 3 + 1)
        logits = predicting.predict(network, images, SPEC)
        right = (logits.argmax(1) == images.targets).sum().item()
        figures = predicting.evaluate(network, images, SPEC)
        assert figures.loss == pytest.approx(F.cross_entropy(logits, images.targets).item())
        assert figures.accuracy == pytest.approx(right / len(images))

    def test_the_network_stays_in_evaluation_mode(self) -> None:
        network = Tiny(3).train()
        predicting.evaluate(network, colors(1), SPEC)
        assert not network.training
