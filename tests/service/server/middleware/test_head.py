"""HEAD is answered wherever GET is."""

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from tests.service.conftest import Serve
from tests.service.connections import listening

PATHS = [
    *("/", "/docs", "/openapi.json", "/static/docs.css"),
    *("/health/live", "/health/ready", "/metrics"),
    *("/v1/models", "/v1/models/colors", "/v1/models/colors/kernels/0?format=png"),
    "/v1/models/colors/receptive-fields",
    *("/v1/models/none", "/v1/models/colors?nothing=1", "/nothing"),
]
VARY = {"x-request-id", "server-timing", "date"}


@pytest.mark.parametrize("path", PATHS)
def test_its_answer_is_that_of_get_without_the_body(client: TestClient, path: str) -> None:
    head, get = client.head(path), client.get(path)
    assert head.content == b""
    assert head.status_code == get.status_code
    assert head.headers.keys() == get.headers.keys()
    told = [{k: v for k, v in a.headers.items() if k not in VARY} for a in (head, get)]
    if path != "/metrics":  # whose figures have changed
        assert told[0] == told[1]


def test_where_there_is_no_get_it_says_so(client: TestClient) -> None:
    answer = client.head("/v1/models/colors/predict")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.slow
def test_it_is_counted_as_the_operation(serve: Serve) -> None:
    client = serve()
    client.head("/v1/models/colors")
    figures = client.get("/metrics").text
    labels = 'model="colors",operation="get_model",status="200"'
    assert f"fanlight_request_seconds_count{{{labels}}} 1.0" in figures


@pytest.mark.slow
def test_it_is_logged_and_counted_as_the_get_is(serve: Serve) -> None:
    client = serve(api_key="sesame")
    with capture_logs() as lines:
        assert client.head("/v1/models/colors").status_code == 401
        key = {"Authorization": "Bearer sesame"}
        assert client.head("/v1/models/none", headers=key).status_code == 404
    refused, missing = (line for line in lines if line["event"] == "request")
    assert (refused["method"], refused["model"]) == ("HEAD", "colors")
    assert (missing["api_key"], missing["model"]) == ("(api_key)", "none")
    figures = client.get("/metrics").text
    assert 'fanlight_refused_requests_total{reason="api-key-missing-or-wrong"} 1.0' in figures


@pytest.mark.slow
@pytest.mark.anyio
async def test_the_server_sends_no_body_and_goes_on(serve: Serve) -> None:
    app = serve().app
    async with (
        listening(app, lifespan="off") as (host, port),
        httpx.AsyncClient(base_url=f"http://{host}:{port}") as client,
    ):
        for path in ("/v1/models/colors", "/health/live"):
            head = await client.head(path)
            assert (head.status_code, head.content) == (200, b"")
            assert int(head.headers["content-length"]) == len((await client.get(path)).content)
