"""What `evaluate` measures of trust is what was promised, counted."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from models.trust import TrustError
from tests.models.trust.answers import answers, trust
from tests.networks import publish_tiny
from training.fitting.reliability import COVERAGE, Reliability, Strangers, auroc

FRESH = answers(1500, seed=9)
STRANGE = answers(400, seed=3, shift=8)


class TestReliability:
    def test_a_calibrated_network_has_a_small_error_and_the_coverage_asked_for(self) -> None:
        found = Reliability.of(trust(2000), FRESH)
        assert found.ece < 0.03 < found.ece_before
        assert found.coverage is not None
        accuracy = (FRESH.logits.argmax(1) == FRESH.targets).double().mean().item()
        assert abs(found.coverage - max(COVERAGE, accuracy)) < 0.02
        assert found.unfamiliar is not None
        assert abs(found.unfamiliar - 0.05) < 0.02
        assert found.unsure is not None
        assert found.unsure >= max(found.unfamiliar, found.ambiguous or 0)

    def test_it_is_told_in_a_line(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        card = publish_tiny(tmp_path_factory.mktemp("repository"))
        assert Reliability.of(trust(), FRESH).text(card).startswith("ECE 0.0")
        bare = Reliability.of(None, FRESH)
        assert "fanlight calibrate colors --data FOLDER" in bare.text(card)
        assert bare.ece == bare.ece_before
        assert bare.coverage is None
        noted = card.model_copy(update={"trust_note": "too few images"})
        assert "too few images" in bare.text(noted)

    def test_it_is_drawn(self) -> None:
        for found in (Reliability.of(trust(), FRESH), Reliability.of(None, FRESH)):
            with Image.open(BytesIO(found.drawn("title"))) as image:
                image.verify()

    def test_as_json_has_each_coverage(self) -> None:
        found = Reliability.of(trust(), FRESH).as_json()
        assert found["coverage"]["0.95"] == Reliability.of(trust(), FRESH).coverage
        assert Reliability.of(None, FRESH).as_json()["coverage"] == {}


class TestStrangers:
    def test_they_are_told_apart(self) -> None:
        found = Strangers.of(trust(), FRESH, STRANGE)
        assert found.auroc > 0.98
        assert found.unfamiliar > 0.95
        assert found.unsure >= found.unfamiliar
        assert "(400 pictures)" in found.text
        with Image.open(BytesIO(found.drawn("title"))) as image:
            image.verify()

    def test_familiar_images_are_no_strangers(self) -> None:
        assert abs(Strangers.of(trust(), FRESH, answers(1500, seed=12)).auroc - 0.5) < 0.05

    def test_one_stranger_is_enough(self) -> None:
        found = Strangers.of(trust(), FRESH, answers(1, shift=8))
        assert found.as_json()["pictures"] == 1
        assert found.drawn("one").startswith(b"\x89PNG")

    def test_without_familiarity_that_is_said(self) -> None:
        with pytest.raises(TrustError, match="fanlight calibrate"):
            Strangers.of(None, FRESH, STRANGE)


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    generator = np.random.default_rng(0)
    low = generator.integers(0, 9, 40).astype(np.float32)
    high = generator.integers(3, 12, 50).astype(np.float32)
    pairs = [1.0 if h > l else 0.5 if h == l else 0.0 for h in high for l in low]  # noqa: E741
    assert auroc(low, high) == pytest.approx(np.mean(pairs))
    assert auroc(high, low) == pytest.approx(1 - np.mean(pairs))
