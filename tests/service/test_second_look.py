"""An unsure image is looked at again, mirrored, at every door, as in training."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

from models.trust import SecondLook
from tests import trusted
from tests.networks import LABELS, SPEC, encode
from tests.service.conftest import starting
from tests.service.test_predict import parts
from training.data.datasets import ImageSet
from training.fitting import trust

pytestmark = pytest.mark.slow

PIXELS = trusted.familiar(7, 20)
IMAGES = [encode(trusted.image(each)) for each in PIXELS]


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`some` looks again at half of the images, `once` at none, `always` at all."""
    repository = tmp_path_factory.mktemp("twice")
    trusted.publish_trusted(repository, "once")
    network = trusted.load(repository, "once").network
    with torch.inference_mode():
        logits = network(SPEC.normalize(torch.from_numpy(PIXELS)))
    below = logits.softmax(1).max(1).values.median().item() + 1e-6
    for name, least in (("some", below), ("always", 1.0)):
        look = SecondLook(below=least, part=0.5)
        trusted.publish_trusted(repository, name, second_look=look)
    return repository


@pytest.fixture(scope="module", params=["onnx", "torch"])
def client(request: pytest.FixtureRequest, twice: Path) -> Iterator[TestClient]:
    with starting(twice) as serve:
        yield serve(runtime=request.param)


def ask(client: TestClient, model: str, path: str = "predict", **params: Any) -> Any:
    answer = client.post(f"/v1/models/{model}/{path}", files=parts(*IMAGES), params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def logits(client: TestClient, model: str) -> np.ndarray[Any, Any]:
    told = ask(client, model, logits=True)["predictions"]
    return np.array([each["logits"] for each in told])


def test_logits_are_those_of_training(client: TestClient, twice: Path) -> None:
    images = ImageSet(torch.from_numpy(PIXELS), torch.zeros(20, dtype=torch.long), LABELS)
    for model in ("once", "some", "always"):
        loaded = trusted.load(twice, model)
        assert loaded.trust is not None
        look = loaded.trust.second_look
        expected = trust.answers(loaded.network, images, SPEC, look).logits.numpy()
        np.testing.assert_allclose(logits(client, model), expected, atol=1e-5)


def test_only_the_unsure_are_looked_at_again(client: TestClient) -> None:
    once, some, always = (logits(client, each) for each in ("once", "some", "always"))
    changed = (np.abs(some - once) > 1e-5).any(1)
    assert 8 <= changed.sum() <= 12
    np.testing.assert_allclose(some[changed], always[changed], atol=1e-5)
    np.testing.assert_allclose(some[~changed], once[~changed], atol=1e-5)


def test_familiarity_is_that_of_the_first_look(client: TestClient) -> None:
    one, other = (ask(client, each)["predictions"] for each in ("once", "always"))
    assert [each["familiarity"] for each in one] == [each["familiarity"] for each in other]


def test_scores_are_the_softmax_of_these_logits(client: TestClient, twice: Path) -> None:
    found = trusted.load(twice, "always").trust
    assert found is not None
    expected = found.probabilities(torch.from_numpy(logits(client, "always"))).max(1).values
    told = [each["score"] for each in ask(client, "always")["predictions"]]
    assert told == pytest.approx(expected.tolist(), abs=1e-5)


def test_feature_maps_and_explanations_come_with_the_same_answer(client: TestClient) -> None:
    predicted = [each["top"] for each in ask(client, "some")["predictions"][:8]]
    seen = ask(client, "some", "features", layer="conv")["predictions"][:8]
    explained = []
    for image in IMAGES[:8]:
        answer = client.post(
            "/v1/models/some/explain", files=parts(image), params={"method": "saliency"}
        )
        explained += [each["prediction"] for each in answer.json()["explanations"]]
    for told in (seen, explained):
        for one, other in zip(predicted, [each["top"] for each in told], strict=True):
            assert [each["label"] for each in one] == [each["label"] for each in other]
            scores = [[each["score"] for each in top] for top in (one, other)]
            assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_feature_maps_are_those_of_the_first_look(client: TestClient) -> None:
    once, always = (
        ask(client, each, "features", layer="conv")["layers"] for each in ("once", "always")
    )
    assert once == always


def test_the_model_says_so_in_words(client: TestClient) -> None:
    told = client.get("/v1/models/some").json()["reliance"]["description"]
    assert "is looked at again, mirrored" in told
    assert "looked at again" not in client.get("/v1/models/once").json()["reliance"]["description"]
