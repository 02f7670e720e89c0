"""Telemetry: every request has an id and a line in the log, whatever the client sends."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from service.inference import explanation
from tests.networks import encode, picture
from tests.service.conftest import Serve
from tests.service.connections import PREDICT, Serving
from tests.service.test_predict import parts
from tests.waiting import until

IMAGES = [encode(picture(seed)) for seed in range(2)]
TIMES = ("decode_ms", "queue_ms", "forward_ms")


def test_a_plain_id_of_the_client_is_kept(client: TestClient) -> None:
    answer = client.get("/health/live", headers={"X-Request-ID": "abc-1.2_3"})
    assert answer.headers["x-request-id"] == "abc-1.2_3"


@pytest.mark.parametrize("given", ["", "a b", "x" * 201, "<script>", 'a"b'])
def test_any_other_id_is_replaced(client: TestClient, given: str) -> None:
    answer = client.get("/health/live", headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] != given
    assert len(answer.headers["x-request-id"]) == 32


def test_each_request_has_its_line(client: TestClient) -> None:
    with capture_logs() as lines:
        answer = client.get("/v1/models/a%0Ab?version=1")
    [line] = [line for line in lines if line["event"] == "request"]
    assert line["request_id"] == answer.headers["x-request-id"]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/v1/models/a%0Ab", 404)
    assert line["ms"] > 0


def line_of(lines: list[Any]) -> dict[str, Any]:
    [found] = [dict(line) for line in lines if line["event"] == "request"]
    return found


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("predict", {}),
        ("predict", {"version": 2}),
        ("features", {"layer": "conv"}),
        ("explain", {"method": "saliency"}),
    ],
)
def test_a_line_tells_what_the_request_was_about(
    client: TestClient, path: str, params: dict[str, Any]
) -> None:
    with capture_logs() as lines:
        answer = client.post(f"/v1/models/colors/{path}", files=parts(*IMAGES), params=params)
    assert answer.status_code == 200
    line = line_of(lines)
    assert (line["model"], line["version"], line["images"]) == ("colors", 2, 2)
    assert line["bytes"] == sum(map(len, IMAGES))
    assert line.get("batch_size") == (None if path == "explain" else 2)
    assert 0 < sum(line[each] for each in TIMES) <= line["ms"] + 0.02


@pytest.mark.slow
@pytest.mark.anyio
async def test_also_on_the_fast_path(serving: Serving) -> None:
    async with serving() as client:
        with capture_logs() as lines:
            await client.post(IMAGES[0])
        assert client.taken == [True]
    line = line_of(lines)
    assert (line["model"], line["images"], line["bytes"]) == ("colors", 1, len(IMAGES[0]))
    assert line["batch_size"] == 1
    assert 0 < sum(line[each] for each in TIMES) <= line["ms"] + 0.02


def test_what_failed_tells_as_much_as_is_known(client: TestClient) -> None:
    with capture_logs() as lines:
        client.post(PREDICT, files=parts(b"nothing"))
    line = line_of(lines)
    assert (line["model"], line["version"], line["images"], line["bytes"]) == ("colors", 2, 1, 7)
    assert "forward_ms" not in line
    with capture_logs() as lines:
        client.get("/v1/models/missing")
    assert line_of(lines)["model"] == "missing"
    with capture_logs() as lines:
        client.post("/v1/models/no%0Asuch/predict", files=parts(*IMAGES))
    assert line_of(lines)["model"] == "no%0Asuch"


def test_waiting_for_the_thread_of_explanations_is_told_as_the_queue(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, let_go, explain = threading.Event(), threading.Event(), explanation.explain

    def waiting(*arguments: Any, **options: Any) -> Any:
        held.set()
        assert let_go.wait(30)
        return explain(*arguments, **options)

    def ask() -> Any:
        url, params = "/v1/models/colors/explain", {"method": "saliency"}
        return client.post(url, files=parts(IMAGES[0]), params=params)

    monkeypatch.setattr(explanation, "explain", waiting)
    with capture_logs() as lines, ThreadPoolExecutor() as pool:
        first = pool.submit(ask)
        assert held.wait(30)
        second = pool.submit(ask)
        maps = client.app.state.inspector.places.maps  # type: ignore[attr-defined]
        until(lambda: maps.taken == 2)
        let_go.set()
        assert [each.result().status_code for each in (first, second)] == [200, 200]
    waited = sorted(line["queue_ms"] for line in lines if line["event"] == "request")
    assert len(waited) == 2
    assert waited[1] > waited[0]


def test_the_access_log_can_be_off_alone(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with capture_logs() as lines:
        client = serve(access_log=False)
        assert client.post(PREDICT, files=parts(*IMAGES)).status_code == 200
        assert client.post("/v1/models/no/predict", files=parts(*IMAGES)).status_code == 404
        monkeypatch.setattr("service.prediction.Predictor.predict", broken)
        answer = client.post(PREDICT, files=parts(*IMAGES))
    assert answer.status_code == 500
    events = [each["event"] for each in lines]
    assert "request" not in events
    assert "loaded" in events
    [failed] = [each for each in lines if each["event"] == "unexpected error"]
    assert failed["request_id"] == answer.headers["x-request-id"]


@pytest.mark.slow
def test_the_start_tells_what_runs_where_and_within_which_limits(serve: Serve) -> None:
    with capture_logs() as lines:
        serve(threads=1, max_images=7)
    [line] = [each for each in lines if each["event"] == "serving"]
    assert line["runtimes"] == {"colors/1": "onnx", "colors/2": "onnx"}
    assert (line["device"], line["threads"], line["workers"]) == ("cpu", 1, 1)
    assert line["limits"]["max_images"] == 7
    assert line["limits"]["max_body_bytes"] == 32 * 2**20
