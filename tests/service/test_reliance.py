"""Whether to rely on an answer: calibrated scores, familiarity, unsure, set; at every door."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
import torch
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from models.checkpoint import Checkpoint
from models.features import PENULTIMATE, capture
from service.responses.predictions import Predictions
from tests import trusted
from tests.networks import LABELS, SPEC, encode, publish_tiny
from tests.service.conftest import Serve, starting
from tests.service.connections import UVLOOP, Serving
from tests.service.test_errors import problem
from tests.service.test_predict import parts

pytestmark = pytest.mark.slow

USUAL = [encode(trusted.image(each)) for each in trusted.familiar(7, 20)]
STRANGE = encode(trusted.image(trusted.strange(1)[0]))
PATH = "/v1/models/sure/predict"
NEW = {"familiarity", "unsure", "why", "set", "warnings", "logits"}


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models with a familiarity (`sure`), a calibration alone (`plain`), and none (`bare`)."""
    repository = tmp_path_factory.mktemp("trusting")
    trusted.publish_trusted(repository)
    trusted.publish_trusted(repository, "plain", "calibration")
    publish_tiny(repository, "colors")
    return repository


@pytest.fixture
def repository(trusting: Path) -> Path:
    return trusting


@pytest.fixture(scope="module")
def client(trusting: Path) -> Iterator[TestClient]:
    with starting(trusting) as serve:
        yield serve()


@pytest.fixture(scope="module")
def sure(trusting: Path) -> Checkpoint:
    return trusted.load(trusting)


def ask(client: TestClient, *images: bytes, model: str = "sure", **params: Any) -> Any:
    answer = client.post(f"/v1/models/{model}/predict", files=parts(*images), params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def test_each_field_is_what_trust_computes(client: TestClient, sure: Checkpoint) -> None:
    pixels = np.concatenate([trusted.familiar(7, 20), trusted.strange(1)])
    batch, trust = SPEC.normalize(torch.from_numpy(pixels)), sure.trust
    assert trust is not None
    with torch.inference_mode(), capture(sure.network, (PENULTIMATE,), sure.layers) as seen:
        logits = sure.network(batch)
        statistic = trust.statistic(logits, seen[PENULTIMATE]).numpy()
        probabilities = trust.probabilities(logits).numpy()
    familiarity, inside = trust.pvalues(statistic), trust.sets(probabilities)
    told = ask(client, *USUAL, STRANGE, logits=True)
    for row, each in enumerate(told):
        assert each["score"] == pytest.approx(probabilities[row].max(), abs=1e-5)
        assert each["familiarity"] == pytest.approx(familiarity[row], abs=0.006)  # a rank
        assert each["familiarity"] == round(each["familiarity"], 4)
        assert set(each["set"]) == {LABELS[index] for index in np.flatnonzero(inside[row])}
        assert each["set"][0] == each["label"]
        assert each["logits"] == pytest.approx(logits[row].tolist(), abs=1e-4)


def test_a_stranger_is_unsure_and_familiar_images_mostly_are_not(client: TestClient) -> None:
    *usual, strange = ask(client, *USUAL, STRANGE, coverage=0.5)
    assert (strange["unsure"], strange["why"]) == (True, "unfamiliar")
    assert strange["familiarity"] == 0  # of one colour
    assert sum(each["unsure"] for each in usual) <= 5
    assert all("why" not in each for each in usual if not each["unsure"])


def test_an_image_of_another_kind_is_told_in_what(client: TestClient) -> None:
    [told] = ask(client, STRANGE)
    assert "the ground has level 255 of 255" in told["warnings"][0]
    assert "warnings" not in ask(client, STRANGE, familiarity="false")[0]
    assert not any("warnings" in each for each in ask(client, *USUAL) if not each["unsure"])


@pytest.mark.parametrize(("times", "is_told"), [(1, False), (2, False), (3, True)])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP"])
def test_what_the_network_does_not_see_is_told(
    client: TestClient, times: int, is_told: bool, format: str
) -> None:
    usual = trusted.image(np.tile(trusted.familiar(7, 1)[0], (1, 1, times)))
    for image in (usual, usual.transpose(Image.Transpose.ROTATE_90)):
        [told] = ask(client, encode(image, format))
        lost = [each for each in told.get("warnings", []) if "saw the middle" in each]
        assert len(lost) == is_told
        if is_told:
            assert f"33 % of the image, of {image.width} × {image.height} pixels" in lost[0]


def test_an_answer_with_several_labels_in_its_set_is_ambiguous(client: TestClient) -> None:
    for coverage in (0.5, 0.999):
        for each in ask(client, *USUAL, coverage=coverage, threshold=0):
            assert each["unsure"] == (len(each["set"]) > 1) == (coverage > 0.9)
            assert each.get("why") == ("ambiguous" if each["unsure"] else None)


def test_sets_grow_with_the_coverage(client: TestClient) -> None:
    sizes = [
        [len(each["set"]) for each in ask(client, *USUAL, coverage=coverage)]
        for coverage in (1e-9, 0.5, 0.92, 0.97, 1 - 1e-9)
    ]
    assert sizes == sorted(sizes)
    assert set(sizes[0]) == {1}
    assert set(sizes[-1]) == {len(LABELS)}


@pytest.mark.parametrize("threshold", ["1e-9", "0.001"])
def test_a_threshold_that_no_familiarity_is_below_is_refused(
    client: TestClient, sure: Checkpoint, threshold: str
) -> None:
    assert sure.trust is not None
    assert sure.trust.statistics is not None
    answer = client.post(PATH, files=parts(STRANGE), params={"threshold": threshold})
    told = problem(answer, 422)["detail"]
    assert "can't tell familiarities below" in told
    assert f"of {sure.trust.statistics.count:,} images" in told


@pytest.mark.parametrize(("threshold", "is_told"), [(0, False), (0.001, True), (0.05, False)])
def test_such_a_threshold_of_the_settings_is_told(
    serve: Serve, threshold: float, is_told: bool
) -> None:
    listed = serve(familiarity_threshold=threshold).get("/v1/models").json()["models"]
    told = {each["name"]: str(each["versions"][0].get("warnings")) for each in listed}
    assert ("threshold of familiarity is too low" in told["sure"]) == is_told
    assert "threshold" not in told["plain"] + told["colors"]


@pytest.mark.parametrize("threshold", [0, 0.05, 0.5, 1])
def test_who_compares_with_the_threshold_finds_the_same(
    client: TestClient, threshold: float
) -> None:
    for each in ask(client, *USUAL, STRANGE, coverage=0.5, threshold=threshold):
        assert (each.get("why") == "unfamiliar") == (each["familiarity"] < threshold)


def test_without_familiarity_the_answer_is_as_it_was_before(client: TestClient) -> None:
    [told] = ask(client, STRANGE, familiarity=False)
    assert set(told) == {"label", "score", "top"}
    [all_of_it] = ask(client, STRANGE, familiarity=True)
    assert {name: all_of_it[name] for name in told} == told


def test_a_card_without_familiarity_tells_the_set(client: TestClient) -> None:
    [told] = ask(client, STRANGE, model="plain", coverage=0.999)
    assert (told["unsure"], told["why"], len(told["set"])) == (True, "ambiguous", 3)
    assert "familiarity" not in told


def test_a_card_without_calibration_tells_nothing_but_logits(client: TestClient) -> None:
    [told] = ask(client, STRANGE, model="bare")
    assert set(told) == {"label", "score", "top"}
    [told] = ask(client, STRANGE, model="bare", logits=True, familiarity=False)
    probabilities = torch.tensor(told["logits"]).softmax(0)
    scores = {each["label"]: each["score"] for each in told["top"]}
    assert [scores[label] for label in LABELS] == pytest.approx(probabilities.tolist(), abs=1e-6)


def test_an_answer_is_as_the_document_says(client: TestClient) -> None:
    answer = client.post(PATH, files=parts(*USUAL, STRANGE), params={"logits": True})
    told = Predictions.model_validate_json(answer.content, strict=True)
    assert told.model_dump(exclude_none=True) == answer.json()
    assert set(answer.json()["predictions"][-1]) == {"label", "score", "top", *NEW}


@pytest.mark.parametrize(
    ("model", "params", "names", "lacks"),
    [
        ("bare", {"coverage": 0.9}, "coverage", "calibration"),
        ("bare", {"threshold": 0.1}, "threshold", "calibration"),
        ("bare", {"familiarity": True}, "familiarity", "calibration"),
        ("bare", {"coverage": 0.9, "threshold": 0.1}, "coverage and threshold", "calibration"),
        ("plain", {"threshold": 0.1}, "threshold", "familiarity"),
        ("plain", {"familiarity": True, "coverage": 0.9}, "familiarity", "familiarity"),
    ],
)
def test_what_the_card_lacks_is_refused_with_what_adds_it(
    client: TestClient, model: str, params: Any, names: str, lacks: str
) -> None:
    answer = client.post(f"/v1/models/{model}/predict", files=parts(STRANGE), params=params)
    detail = problem(answer, 422)["detail"]
    assert detail.startswith(f"invalid parameter: {names}: {model}/")
    assert f" has no {lacks}" in detail
    assert f"`fanlight calibrate {model} --data FOLDER`" in detail


@pytest.mark.parametrize("model", ["sure", "bare"])
@pytest.mark.parametrize(
    ("query", "name"),
    [
        *((f"coverage={value}", "coverage") for value in ("0", "1", "1.5", "-0.1", "1e9", "nan")),
        *((f"coverage={value}", "coverage") for value in ("inf", "-inf", "", "95%25", "0,9")),
        *((f"threshold={value}", "threshold") for value in ("-1", "-1e-9", "1.01", "nan", "x")),
        *((f"familiarity={value}", "familiarity") for value in ("", "maybe", "0.5", "null")),
        *((f"logits={value}", "logits") for value in ("", "2", "all")),
        ("coverage=0.9&coverage=0.8", "coverage comes 2 times"),
        ("familiarity=true&familiarity=true", "familiarity comes 2 times"),
        ("familiarity=false&coverage=0.9", "coverage says nothing with familiarity=false"),
        ("familiarity=false&threshold=0.1", "threshold says nothing with familiarity=false"),
        ("familiar=true", "did you mean 'familiarity'"),
        ("covrage=0.9", "did you mean 'coverage'"),
    ],
)
def test_odd_values_are_refused(client: TestClient, model: str, query: str, name: str) -> None:
    answer = client.post(f"/v1/models/{model}/predict?{query}", files=parts(STRANGE))
    assert name in problem(answer, 422)["detail"]


QUERIES = [
    "",
    "logits=true",
    "familiarity=false",
    "familiarity=false&logits=1",
    "coverage=0.5&threshold=0.2",
    "coverage=0",
    "threshold=2",
    "familiarity=false&coverage=0.5",
]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", [UVLOOP])
async def test_every_door_answers_the_same(serving: Serving) -> None:
    async with serving() as client:
        outer = FastAPI()
        outer.mount("/mounted", client.app)
        transport = httpx.ASGITransport(outer)  # FastAPI's route
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as other:
            for model in ("sure", "plain", "bare"):
                for query in [*QUERIES, "coverage=0.9", "familiarity=true"]:
                    path = f"/v1/models/{model}/predict?{query}"
                    client.taken.clear()
                    fast = await client.post(STRANGE, path=path)
                    assert any(client.taken) == (fast.status == 200)
                    client.taken.clear()
                    # whose connection is to close goes through the shortcut
                    short = await (await client.another()).post(
                        STRANGE, path=path, Connection="close"
                    )
                    assert not any(client.taken)
                    headers = {"Content-Type": "image/png"}
                    route = await other.post(f"/mounted{path}", content=STRANGE, headers=headers)
                    assert fast.status == short.status == route.status_code
                    told = [json.loads(fast.body), json.loads(short.body), route.json()]
                    if fast.status == 200:
                        assert told[0] == told[1] == told[2]
                    else:
                        assert len({each["detail"] for each in told}) == 1


def test_settings_are_the_default_and_requests_come_first(serve: Serve) -> None:
    client = serve(coverage=0.5, familiarity_threshold=1)
    for each in ask(client, *USUAL):
        assert len(each["set"]) == 1
        assert each.get("why") == ("unfamiliar" if each["familiarity"] < 1 else None)
    for each in ask(client, *USUAL, coverage=0.999, threshold=0):
        assert (each["why"], len(each["set"])) == ("ambiguous", len(LABELS))
    assert set(ask(client, STRANGE, model="bare")[0]) == {"label", "score", "top"}
    reliance = client.get("/v1/models/sure").json()["reliance"]
    assert (reliance["coverage"], reliance["threshold"]) == (0.5, 1)


def test_features_and_explanations_have_the_same_score(client: TestClient) -> None:
    [told] = ask(client, USUAL[0])
    model = "/v1/models/sure"
    seen = client.post(
        f"{model}/features", files=parts(USUAL[0]), params={"layer": ["conv", "penultimate"]}
    ).json()["predictions"][0]
    explained = client.post(
        f"{model}/explain", files=parts(USUAL[0]), params={"method": "saliency"}
    ).json()["explanations"][0]
    for other in (seen, explained["prediction"]):
        assert set(other) == {"label", "score", "top"}
        assert other["label"] == told["label"]
        assert other["score"] == pytest.approx(told["score"], abs=1e-5)
    assert explained["target"]["score"] == pytest.approx(told["score"], abs=1e-5)


def test_a_model_tells_what_is_calibrated(client: TestClient) -> None:
    told = client.get("/v1/models/sure").json()
    reliance, card = told["reliance"], told["card"]
    assert reliance["calibrated"] is reliance["knows_strangers"] is True
    assert reliance["calibration_images"] == reliance["familiarity_images"] == trusted.COUNT
    assert reliance["coverage"] == card["calibration"]["coverage"]
    assert reliance["threshold"] == card["familiarity"]["threshold"] == 0.05
    assert "calibrated on 200 images (seeded noise)" in reliance["description"]
    assert "an answer below 0.05 is unsure" in reliance["description"]
    low, high = card["expects"]["ground"]
    assert f"the ground is dark of level {low} to {high} of 255" in reliance["expects"]
    assert "3 classes: blue, green, red" in reliance["expects"]
    assert "8 × 8 coloured pixels" in reliance["expects"]


def test_a_model_tells_why_a_part_is_missing(client: TestClient) -> None:
    plain = client.get("/v1/models/plain").json()["reliance"]
    assert (plain["calibrated"], plain["knows_strangers"]) == (True, False)
    assert {"familiarity_images", "threshold"}.isdisjoint(plain)
    assert "no familiarity (familiarity is left out: no features)" in plain["description"]
    bare = client.get("/v1/models/bare").json()["reliance"]
    assert set(bare) == {"calibrated", "knows_strangers", "description", "expects"}
    assert "`fanlight calibrate bare --data FOLDER` adds it" in bare["description"]


def test_a_network_that_is_not_finite_is_refused_as_before(serve: Serve) -> None:
    client = serve(runtime="torch")
    serving = client.app.state.repository.get("sure", None)  # type: ignore[attr-defined]
    network = serving.checkpoint.network
    handle = network.register_forward_hook(lambda _m, _i, logits: logits * torch.nan)
    try:
        answer = client.post(PATH, files=parts(STRANGE))
        assert problem(answer, 422)["errors"][0]["reason"].startswith("the network gives no finite")
    finally:
        handle.remove()
