"""Keys and limits at every door, as clients meet them."""

from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from service.access import api_keys
from tests.networks import encode, picture
from tests.service.conftest import Serve
from tests.service.connections import FORM, IMAGE, PREDICT, UVLOOP, Serving, form, post
from tests.waiting import until_async

LARGE = encode(picture(0, (200, 200)))
FEATURES = PREDICT.replace("predict", "features")
KEY = {"Authorization": "Bearer key of alice"}
WRONG = {"Authorization": "Bearer key of bob"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    api_keys.add(path, "alice", "key of alice")
    return path


REQUESTS = [
    pytest.param(post, {"body": IMAGE}, id="fast path"),
    pytest.param(post, {"body": LARGE}, id="usual path"),
    pytest.param(post, {"body": form(IMAGE), "type": FORM}, id="form"),
    pytest.param(post, {"path": f"{FEATURES}?layer=conv"}, id="route"),
]


@pytest.mark.anyio
@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", [UVLOOP])
@pytest.mark.parametrize(("make", "request_of"), REQUESTS)
class TestEachDoor:
    async def test_asks_for_a_key_and_the_log_names_it(
        self, serving: Serving, path: Path, make: Any, request_of: dict[str, Any]
    ) -> None:
        async with serving(api_key_file=path) as client:
            with capture_logs() as lines:
                for headers, status in (({}, 401), (WRONG, 401), (KEY, 200)):
                    client.writer.write(make(**request_of, **headers))
                    assert (await client.answer()).status == status
                await until_async(lambda: len(requests(lines)) == 3)
            assert [line.get("api_key") for line in requests(lines)] == [None, None, "alice"]
            assert "key of" not in str(lines)

    async def test_counts_a_request_once(
        self, serving: Serving, path: Path, make: Any, request_of: dict[str, Any]
    ) -> None:
        """Also one that the fast path looked at, and left to the application."""
        async with serving(api_key_file=path, rate_limit=0.001, rate_burst=3) as client:
            statuses = []
            for _ in range(5):
                client.writer.write(make(**request_of, **KEY))
                answer = await client.answer()
                statuses.append(answer.status)
            assert statuses == [200, 200, 200, 429, 429]
            assert answer.headers["retry-after"] == "1000"
            assert "setting rate_limit" in answer.told["detail"]


def requests(lines: list[Any]) -> list[Any]:
    return [line for line in lines if line["event"] == "request"]


@pytest.mark.anyio
@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", [UVLOOP])
async def test_a_key_in_a_trailer_is_none(serving: Serving, path: Path) -> None:
    head = (
        f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    trailer = "0\r\nAuthorization: Bearer key of alice\r\n\r\n"
    for body in (IMAGE, LARGE):
        async with serving(api_key_file=path) as client:
            chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n"
            client.writer.write(head.encode() + chunk + trailer.encode())
            assert (await client.answer()).status == 401


@pytest.mark.slow
def test_what_is_told_without_a_key(serve: Serve, path: Path) -> None:
    client = serve(api_key_file=path)
    for open_to_all in ("/", "/docs", "/openapi.json", "/health/live", "/health/ready", "/metrics"):
        assert client.get(open_to_all).status_code == 200
    document = client.get("/openapi.json").json()
    for name, operations in document["paths"].items():
        for operation in operations.values():
            assert ("security" in operation) == name.startswith("/v1/")


@pytest.mark.slow
def test_every_operation_under_v1_asks_for_a_key(serve: Serve, path: Path) -> None:
    client = serve(api_key_file=path)
    for name, operations in client.get("/openapi.json").json()["paths"].items():
        if name.startswith("/v1/"):
            address = name.format(model="colors", layer="conv")
            for method in operations:
                assert client.request(method, address).status_code == 401
                assert client.request(method, address, headers=KEY).status_code != 401


class TestMetrics:
    @pytest.mark.slow
    def test_ask_for_a_key_by_setting(self, serve: Serve, path: Path) -> None:
        client = serve(api_key_file=path, metrics_access="key")
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers=WRONG).status_code == 401
        answer = client.get("/metrics", headers=KEY)
        assert answer.status_code == 200
        assert "fanlight_model_ready" in answer.text
        operation = client.get("/openapi.json").json()["paths"]["/metrics"]["get"]
        assert operation["security"] == [{"api_key": []}]

    @pytest.mark.slow
    def test_have_a_port_of_their_own_by_setting(self, serve: Serve) -> None:
        client = serve(metrics_port=9000)
        problem = client.get("/metrics")
        assert problem.status_code == 404
        assert "setting metrics_port" in problem.json()["detail"]
        own = at_port(client, 9000)
        assert own.get("/metrics").status_code == 200
        for path in ("/", "/health/live", "/v1/models", "/metrics/", "//metrics"):
            answer = own.get(path)
            assert answer.status_code == 404
            assert (
                answer.json()["detail"] == "this port answers /metrics only (setting metrics_port)"
            )
        predicted = own.post(PREDICT, content=IMAGE, headers={"Content-Type": "image/png"})
        assert predicted.status_code == 404
        assert client.get("/v1/models").status_code == 200


def at_port(client: TestClient, port: int) -> httpx.Client:
    """The same service, asked at another port."""
    return TestClient(client.app, base_url=f"http://testserver:{port}")
