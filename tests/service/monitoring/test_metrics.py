"""Figures for Prometheus: of requests, batches and models, summed over the workers."""

import asyncio
import base64
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi import FastAPI

from service.monitoring import metrics
from service.monitoring.metrics import Metrics
from tests import trusted
from tests.networks import LABELS, encode, picture, publish_tiny
from tests.service.conftest import Serve
from tests.service.connections import PREDICT
from tests.service.held_run import HeldRun
from tests.service.test_predict import parts
from tests.waiting import until, until_async


def figure(text: str, name: str, **labels: str) -> float:
    """The sum of the samples with these labels; 0 if there is none."""
    found = 0.0
    for line in text.splitlines():
        sample = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
        if sample and sample[1] == name:
            told = dict(re.findall(r'(\w+)="([^"]*)"', sample[2] or ""))
            found += float(sample[3]) * (labels.items() <= told.items())
    return found


def test_requests_are_counted_by_operation_model_and_status(serve: Serve) -> None:
    client = serve()
    assert client.post(PREDICT, files=parts(encode(picture(1)))).status_code == 200
    assert client.post(PREDICT, files=parts(b"")).status_code == 422
    assert client.get("/v1/models").status_code == 200
    assert client.get("/v1/models/colors").status_code == 200
    assert client.post("/v2/models/colors/infer", json={}).status_code == 400
    assert client.get("/v1/models/strangers").status_code == 404
    assert client.post("/v1/models/strangers/predict").status_code == 404
    assert client.post(f"{PREDICT}?version=9").status_code == 404
    assert client.get("/nothing/1").status_code == client.get("/nothing/2").status_code == 404
    text = client.get("/metrics").text
    for operation, model, status, count in (
        ("predict", "colors", "200", 1),
        ("predict", "colors", "422", 1),
        ("predict", "colors", "404", 1),
        ("predict", "", "404", 1),
        ("list_models", "", "200", 1),
        ("get_model", "colors", "200", 1),
        ("v2_infer", "colors", "400", 1),
        ("get_model", "", "404", 1),
        ("other", "", "404", 2),  # no label for each path that a stranger thinks of
    ):
        labels = {"operation": operation, "model": model, "status": status}
        assert figure(text, "fanlight_request_seconds_count", **labels) == count
    assert "strangers" not in text


def test_requests_with_images_are_counted_from_when_they_have_arrived(serve: Serve) -> None:
    client = serve(torchserve_paths="on")
    image = encode(picture(1))
    model, instances = "/v1/models/colors", {"instances": [base64.b64encode(image).decode()]}
    assert client.post(PREDICT, content=image).status_code == 200
    assert client.post(PREDICT, content=b"none").status_code == 415
    assert client.post(f"{model}/explain?method=saliency", content=image).status_code == 200
    assert client.post("/invocations", content=image).status_code == 200
    assert client.post("/predictions/colors", content=image).status_code == 200
    assert client.post(f"{model}:predict", json=instances).status_code == 200
    assert client.post("/v2/models/colors/infer", json={}).status_code == 400
    assert client.get(model).status_code == 200
    assert client.post("/v1/models/strangers/predict", content=image).status_code == 404
    for _ in range(2):  # what was told is not told again
        text = client.get("/metrics").text
        for operation, status in (
            ("predict", "200"),
            ("predict", "415"),
            ("explain", "200"),
            ("invocations", "200"),
            ("torchserve_predictions", "200"),
            ("tensorflow_predict", "200"),
            ("v2_infer", "400"),
        ):
            labels = {"operation": operation, "model": "colors", "status": status}
            assert figure(text, "fanlight_answer_seconds_count", **labels) == 1
            whole = figure(text, "fanlight_request_seconds_sum", **labels)
            assert 0 < figure(text, "fanlight_answer_seconds_sum", **labels) < whole
        assert figure(text, "fanlight_answer_seconds_count") == 7


def test_batches_are_counted_by_version(serve: Serve) -> None:
    client = serve()
    client.post(PREDICT, files=parts(*[encode(picture(seed)) for seed in range(5)]))
    text = client.get("/metrics").text
    labels = {"model": "colors", "version": "2"}
    assert figure(text, "fanlight_batch_images_sum", **labels) == 5
    assert figure(text, "fanlight_forward_seconds_sum", **labels) > 0
    assert figure(text, "fanlight_batch_images_sum", version="1") == 0


def test_why_requests_got_no_answer(serve: Serve) -> None:
    client = serve(rate_limit=0.001, rate_burst=2, max_images=1)
    image = encode(picture(1))
    assert client.post(PREDICT, files=parts(image, image)).status_code == 413
    assert client.post(PREDICT, files=parts(b"none")).status_code == 422  # the request was wrong
    for _ in range(2):
        assert client.post(PREDICT, files=parts(image)).status_code == 429
    text = client.get("/metrics").text
    for reason, count in {"over-a-limit": 1, "too-many-requests": 2}.items():
        assert figure(text, "fanlight_refused_requests_total", reason=reason) == count
    assert figure(text, "fanlight_refused_requests_total") == 3


def test_what_runs_here(serve: Serve, repository: Path) -> None:
    publish_tiny(repository, "broken")
    (repository / "broken" / "1" / "weights.pt").write_bytes(b"")
    client = serve()
    client.post(PREDICT, files=parts(encode(picture(1))))
    text = client.get("/metrics").text
    python = ".".join(map(str, sys.version_info[:3]))
    assert figure(text, "fanlight_build_info", python=python, torch=metadata.version("torch")) == 1
    assert figure(text, "fanlight_load_failures_total", model="broken") == 1
    assert "fanlight_queue_images{" in text
    assert figure(text, "process_resident_memory_bytes") > 10**8
    assert figure(text, "process_cpu_seconds_total") > 0


def test_images_that_wait_are_counted(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """To be decoded, and for the network behind a batch that runs; also when decoding fails."""
    client = serve()
    state = cast(FastAPI, client.app).state
    let_go, decode = threading.Event(), state.decoder.pixels

    async def held(*arguments: Any) -> Any:
        assert await asyncio.to_thread(let_go.wait, 30)
        return await decode(*arguments)

    monkeypatch.setattr(state.decoder, "pixels", held)
    run = HeldRun(state.repository.get("colors", 2).batcher)
    image = encode(picture(1))

    def ask(*images: bytes) -> int:
        return client.post(PREDICT, files=parts(*images)).status_code

    def waiting() -> float:
        labels = {"model": "colors", "version": "2"}
        return figure(client.get("/metrics").text, "fanlight_queue_images", **labels)

    assert "fanlight_queue_images{" in client.get("/metrics").text  # before the first request
    with ThreadPoolExecutor(3) as threads:
        first, broken = threads.submit(ask, *[image] * 3), threads.submit(ask, image, b"none")
        until(lambda: waiting() == 5)
        let_go.set()
        assert broken.result(30) == 422
        assert run.started.wait(30)
        until(lambda: waiting() == 0)
        second = threads.submit(ask, *[image] * 2)
        until(lambda: waiting() == 2)
        run.let_go.set()
        assert first.result(30) == second.result(30) == 200
    until(lambda: waiting() == 0)  # figures are made anew five times a second at most


def test_where_the_time_of_a_request_goes(serve: Serve) -> None:
    client = serve()
    for _ in range(3):
        client.post(PREDICT, files=parts(encode(picture(1))))
    client.post(PREDICT, files=parts(b"none"))
    for _ in range(2):  # what was told is not told again
        text = client.get("/metrics").text
        for stage in ("decode", "queue"):
            labels = {"model": "colors", "version": "2", "stage": stage}
            assert figure(text, "fanlight_stage_requests_total", **labels) == 3
            assert 0 < figure(text, "fanlight_stage_seconds_total", **labels) < 3


def test_answers_are_counted_beside_what_is_usual(serve: Serve, repository: Path) -> None:
    trusted.publish_trusted(repository)
    client = serve()
    shown = [*trusted.familiar(7, 8), *trusted.strange(2)]
    images = [encode(trusted.image(each)) for each in shown]
    answers = client.post("/v1/models/sure/predict", files=parts(*images)).json()["predictions"]
    text = client.get("/metrics").text
    model = {"model": "sure", "version": "1"}
    for label in LABELS:
        told = figure(text, "fanlight_answers_total", **model, label=label)
        assert told == sum(each["label"] == label for each in answers)
    for part, name in (("score", "scores"), ("familiarity", "familiarity")):
        for tenth in range(10):
            key = f"{tenth / 10:g}"
            told = figure(text, f"fanlight_answer_{name}_total", **model, tenth=key)
            assert told == sum(min(int(each[part] * 10), 9) == tenth for each in answers)
    unsure = [each["why"] for each in answers if each["unsure"]]
    assert unsure.count("unfamiliar") >= 2
    for why in ("unfamiliar", "ambiguous"):
        assert figure(text, "fanlight_unsure_answers_total", **model, why=why) == unsure.count(why)
    usual = client.get("/v1/models/sure").json()["card"]["calibration"]["usual"]
    shares = [figure(text, "fanlight_usual_answers", **model, label=label) for label in LABELS]
    assert shares == pytest.approx(usual["labels"])
    for name in ("answer_scores", "answer_familiarity"):
        assert figure(text, f"fanlight_usual_{name}", **model) == pytest.approx(1, abs=1e-5)


def test_requests_in_flight(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks is not counted; whatever becomes of a request, it is over once."""
    client = serve()
    image = encode(picture(0))
    client.post(PREDICT, files=parts(image))
    client.post(PREDICT, content=b"nothing")
    client.get("/nothing")
    client.head("/v1/models")
    asked = {"method": "saliency"}
    client.post("/v1/models/colors/explain", files=parts(image), params=asked)
    monkeypatch.setattr("service.prediction.Predictor.predict", None)
    assert client.post(PREDICT, files=parts(image)).status_code == 500
    assert figure(client.get("/metrics").text, "fanlight_requests_in_flight") == 0


@pytest.mark.anyio
async def test_figures_are_brought_up_to_date_whatever_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics, "GAUGE_SECONDS", 0)
    found, calls = Metrics(), 0

    def report() -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise ZeroDivisionError

    with found.asking(report):
        task = asyncio.create_task(found.keep_current())
        await until_async(lambda: calls > 3)
        task.cancel()


def test_figures_are_made_anew_a_few_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("service.monitoring.metrics.time.monotonic", lambda: now)
    told = Metrics()

    def asked() -> float:
        told.refused("queue-full")
        return figure(told.exposition().decode(), "fanlight_refused_requests_total")

    most = metrics.MOST_EXPOSITIONS
    assert [asked() for _ in range(most + 3)] == [*range(1, most + 1), most, most, most]
    now += 1
    assert asked() == most + 4
