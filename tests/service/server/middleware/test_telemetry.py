"""Telemetry: every request has an id and a line in the log, whatever the client sends."""

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs


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
