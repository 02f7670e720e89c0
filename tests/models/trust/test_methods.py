"""The statistics are those of their papers, and run as a graph."""

import io
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from models.trust.answers import Answers
from models.trust.errors import TrustError
from models.trust.methods.gaussian import MAX_AXES, Gaussian
from models.trust.methods.method import METHODS, Statistic
from models.trust.methods.outlier_exposure import OutlierExposure
from tests.models.trust.answers import CLASSES, WIDTH, answers, features_of


def gaussian(reference_count: int = 3000) -> Gaussian:
    reference = answers(reference_count, seed=2)
    found = fitted("gaussian", reference)
    assert isinstance(found, Gaussian)
    return found


def fitted(name: str, on: Answers) -> Statistic:
    """The method of that name, fitted on these answers and, if it takes them, on strangers."""
    strangers = features_of(answers(500, seed=9, shift=6.0))
    return METHODS.get(name).fit(on.logits, features_of(on), on.targets, strangers)


class TestGaussian:
    def test_the_distance_is_that_of_mahalanobis_to_the_nearest_class(self) -> None:
        reference, asked = answers(3000, seed=2), answers(200, seed=5)
        points, targets = features_of(reference).double().numpy(), reference.targets.numpy()
        means = np.stack([points[targets == k].mean(0) for k in range(CLASSES)])
        covariance = np.cov((points - means[targets]).T, bias=True)
        apart = features_of(asked).double().numpy()[:, None] - means  # (N, K, D)
        squared = np.einsum("nkd,de,nke->nk", apart, np.linalg.inv(covariance), apart)
        distance, energy = gaussian().parts(asked.logits, features_of(asked))
        np.testing.assert_allclose(distance, np.sqrt(squared.min(1)), rtol=5e-3)
        expected = -np.log(np.exp(asked.logits.double().numpy()).sum(1))
        np.testing.assert_allclose(energy, expected, rtol=1e-5)

    def test_what_is_outside_of_the_axes_counts(self) -> None:
        """Of more features than axes, one far away in a direction without variance is strange."""
        generator = torch.Generator().manual_seed(0)
        width = 4 * MAX_AXES
        targets = torch.randint(2, (800,), generator=generator)
        flat = torch.randn(800, 20, generator=generator) @ torch.randn(
            20, width, generator=generator
        )
        features = flat + 0.01 * torch.randn(800, width, generator=generator)
        logits = torch.zeros(800, 2)
        found = METHODS.get("gaussian").fit(logits, features, targets, None)
        usual = found(logits, features)
        direction = torch.randn(width, generator=generator)
        strange = found(logits[:1], features[:1] + direction)
        assert strange > 10 * usual.max()
        assert len(found.get_buffer("axes")) <= MAX_AXES

    def test_it_works_with_fewer_images_than_features(self) -> None:
        few = answers(40)
        wide = torch.cat([features_of(few), torch.randn(40, 500)], 1)
        found = METHODS.get("gaussian").fit(few.logits, wide, few.targets, None)
        assert torch.isfinite(found(few.logits, wide)).all()


class TestOutlierExposure:
    def test_the_log_odds_are_those_of_a_logistic_regression(self) -> None:
        """Fitted on as many of both, the mean probability is that of their share: a half."""
        known, strange = answers(2000, seed=2), features_of(answers(500, seed=9, shift=2.0))
        found = fitted_against(known, strange)
        odds = [found.log_odds(each) for each in (features_of(known), strange)]
        part = [torch.sigmoid(each).mean() for each in odds]
        assert sum(part) / 2 == pytest.approx(0.5, abs=0.02)
        assert part[0] < 0.2
        assert part[1] > 0.8

    def test_it_knows_what_the_gaussian_does_not(self) -> None:
        """Strangers within the spread of the classes, aside in one direction."""
        known, asked = answers(3000, seed=2), answers(1000, seed=4)
        strange = answers(1000, seed=5, shift=1.0)
        found = fitted_against(known, features_of(answers(1000, seed=6, shift=1.0)))
        usual, unusual = (found(each.logits, features_of(each)) for each in (asked, strange))
        plain = [gaussian()(each.logits, features_of(each)) for each in (asked, strange)]
        above = [(high > low.median()).float().mean() for low, high in ((usual, unusual), plain)]
        assert above[0] > above[1] + 0.05

    def test_what_lies_far_on_the_side_of_the_classes_is_no_less_strange(self) -> None:
        known = answers(3000, seed=2)
        found = fitted_against(known, features_of(answers(1000, seed=6, shift=2.0)))
        away = answers(500, seed=7, shift=-6.0)
        plain = gaussian()(away.logits, features_of(away))
        assert (found.log_odds(features_of(away)) < found.odds_scale[0]).all()
        told = found(away.logits, features_of(away))
        torch.testing.assert_close(told, plain, rtol=1e-3, atol=1e-2)

    def test_it_is_not_fitted_without_strangers(self) -> None:
        known = answers(100)
        for strange in (None, torch.empty(0, WIDTH), torch.full((3, WIDTH), torch.nan)):
            with pytest.raises(TrustError, match="strangers"):
                METHODS.get("outlier-exposure").fit(
                    known.logits, features_of(known), known.targets, strange
                )

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda tensors: tensors.pop("weight"),
            lambda tensors: tensors.update(more=torch.zeros(1)),
            lambda tensors: tensors.update(weight=torch.zeros(WIDTH + 1)),
            lambda tensors: tensors.update(bias=torch.zeros(2)),
            lambda tensors: tensors.update(odds_scale=torch.zeros(())),
            lambda tensors: tensors.pop("gaussian.means"),
        ],
    )
    def test_other_tensors_are_refused(self, spoil: Callable[[dict[str, Tensor]], object]) -> None:
        tensors = dict(fitted("outlier-exposure", answers(300)).named_buffers())
        spoil(tensors)
        with pytest.raises(TrustError):
            METHODS.get("outlier-exposure").build(tensors, CLASSES)


def fitted_against(known: Answers, strange: Tensor) -> OutlierExposure:
    found = METHODS.get("outlier-exposure").fit(
        known.logits, features_of(known), known.targets, strange
    )
    assert isinstance(found, OutlierExposure)
    return found


@pytest.mark.parametrize("name", METHODS.names())
class TestMethods:
    def test_it_is_built_again_of_its_buffers(self, name: str) -> None:
        found = answers(300)
        statistic = fitted(name, found)
        again = METHODS.get(name).build(dict(statistic.named_buffers()), CLASSES)
        assert torch.equal(
            statistic(found.logits, features_of(found)), again(found.logits, features_of(found))
        )
        assert {each.dtype for each in statistic.buffers()} <= {torch.float32}

    def test_onnx_runtime_gives_the_same(self, name: str) -> None:
        onnxruntime = pytest.importorskip("onnxruntime")
        pytest.importorskip("onnx")
        found = answers(64)
        statistic = fitted(name, found).eval()
        file = io.BytesIO()
        inputs = (found.logits, features_of(found))
        with warnings.catch_warnings():  # as the service exports, see its onnx_runtime
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.onnx.export(
                statistic,
                inputs,
                file,  # type: ignore[arg-type] # the old exporter writes to files of any kind
                input_names=["logits", "features"],
                dynamic_axes={"logits": {0: "n"}, "features": {0: "n"}},
                dynamo=False,
            )
        session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
        named = {"logits": found.logits[:7].numpy(), "features": features_of(found)[:7].numpy()}
        taken = [each.name for each in session.get_inputs()]
        fed = {each: named[each] for each in taken}
        (given,) = session.run(None, fed)
        np.testing.assert_allclose(given, statistic(*inputs)[:7].numpy(), rtol=1e-4, atol=1e-4)


def test_the_features_are_as_many_as_were_fitted() -> None:
    assert gaussian().width() == WIDTH
