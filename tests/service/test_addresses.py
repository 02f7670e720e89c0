"""Wrong addresses and methods: what the error says that there is."""

import pytest
from fastapi.testclient import TestClient

from tests.service.conftest import Serve
from tests.service.connections import PREDICT
from tests.service.test_errors import problem


@pytest.mark.parametrize(
    "path",
    [
        *("/docs/", "/static", "/static/", "/docs/swagger-ui", "/health/live/", "/metrics/"),
        *("/v1/models/", "/v1/models/colors/", "/openapi.json/"),
    ],
)
def test_no_answer_sends_a_client_where_its_host_says(client: TestClient, path: str) -> None:
    for method in ("GET", "HEAD", "POST"):
        headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
        answer = client.request(method, path, headers=headers, follow_redirects=False)
        assert answer.status_code in (404, 405)
        assert "evil" not in answer.text + str(answer.headers)


def test_404_of_an_address_with_a_slash_says_so(client: TestClient) -> None:
    detail = problem(client.get("/v1/models/"), 404)["detail"]
    assert "no slash at the end" in detail


def test_405_names_the_possible_methods(client: TestClient) -> None:
    answer = client.get(PREDICT)
    assert "POST" in problem(answer, 405)["detail"]
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/v1/models", "/", "/openapi.json", "/static/docs.css"])
def test_405_names_head_where_get_is(client: TestClient, path: str) -> None:
    answer = client.post(path)
    assert problem(answer, 405)["detail"] == "POST is not possible here; possible: GET, HEAD"
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/v1/modles", "did you mean /v1/models? /docs lists"),
        ("/v1/models/tiny/predictt", "did you mean /v1/models/tiny/predict? /docs lists"),
        ("/helth/live", "did you mean /health/live? /docs lists"),
        ("/predict", "did you mean /v1/models/{model}/predict? /docs lists"),
        ("/v1/models/", "no slash at the end; did you mean /v1/models? /docs lists"),
        ("/elsewhere", "there is nothing at /elsewhere; /docs lists"),
        ("/" + "x" * 5_000, "; /docs lists"),
    ],
)
def test_a_wrong_address_names_the_nearest(serve: Serve, path: str, told: str) -> None:
    assert told in problem(serve().post(path), 404)["detail"]


@pytest.mark.parametrize("path", ["/static/nope.js", "/docs/swagger-ui/nope.css"])
def test_a_file_that_is_missing_leads_to_the_docs(client: TestClient, path: str) -> None:
    assert f"nothing at {path}; /docs lists" in problem(client.get(path), 404)["detail"]


@pytest.mark.parametrize("path", ["/predictions/tiny", "/predictions/tiny/1"])
def test_all_methods_of_an_address_are_told(serve: Serve, path: str) -> None:
    answer = serve().get(path)
    assert problem(answer, 405)["detail"] == "GET is not possible here; possible: POST, PUT"
    assert answer.headers["allow"] == "POST, PUT"
