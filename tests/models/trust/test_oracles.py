"""Libraries that others keep give the same figures.

Conformal sets and p-values have no such oracle here: crepes needs scikit-learn and pandas, MAPIE
scikit-learn. `test_ranks.py` computes them by their definitions in numpy.
"""

import pytest
import torch

from models.torchvision_import import torchvision
from models.trust import calibration
from models.trust.methods.gaussian import Gaussian
from models.trust.methods.method import METHODS
from tests.models.trust.answers import CLASSES, answers, features_of

pytestmark = pytest.mark.slow  # these libraries take seconds to import


@pytest.fixture(scope="module", autouse=True)
def _torchvision() -> None:
    """Both libraries import it, and here it may not be the one of this torch."""
    torchvision("models")


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 4.0])
def test_torchmetrics_has_the_same_calibration_error(sharpness: float) -> None:
    from torchmetrics.functional.classification import multiclass_calibration_error

    found = answers(3000, sharpness=sharpness)
    shares = calibration.probabilities(found.logits, 1.0)
    expected = multiclass_calibration_error(shares, found.targets, CLASSES, n_bins=15, norm="l1")
    assert calibration.calibration_error(shares, found.targets) == pytest.approx(
        expected.item(), abs=1e-5
    )


class TestPytorchOod:
    def gaussian(self) -> Gaussian:
        reference = answers(3000, seed=2)
        found = METHODS.get("gaussian").fit(
            reference.logits, features_of(reference), reference.targets, None
        )
        assert isinstance(found, Gaussian)
        return found

    def test_the_distance_is_that_of_mahalanobis(self) -> None:
        from pytorch_ood.detector import Mahalanobis

        reference, asked = answers(3000, seed=2), answers(300, seed=5, shift=2)
        detector = Mahalanobis(torch.nn.Identity())
        detector.fit_features(features_of(reference), reference.targets)
        theirs = detector.predict_features(features_of(asked))
        ours, _ = self.gaussian().parts(asked.logits, features_of(asked))
        ratio = ours.square() / theirs
        torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=0.02, atol=0)

    def test_the_energy_is_theirs(self) -> None:
        from pytorch_ood.detector import EnergyBased

        asked = answers(300)
        energy = METHODS.get("energy").build({}, CLASSES)
        theirs = EnergyBased(torch.nn.Identity())(asked.logits)
        torch.testing.assert_close(energy(asked.logits, asked.logits), theirs)
        _, ours = self.gaussian().parts(asked.logits, features_of(asked))
        torch.testing.assert_close(ours, theirs)
