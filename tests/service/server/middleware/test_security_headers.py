"""What every answer tells browsers: each way to an answer has it, and pages have their own."""

import pytest
from fastapi.testclient import TestClient

from service.server.middleware.security_headers import HEADERS
from tests.networks import encode, picture
from tests.service.connections import FORM, PREDICT, UVLOOP, Serving, form, post

EXPECTED = {name.decode(): value.decode() for name, value in HEADERS}
LARGE = encode(picture(0, (200, 200)))
FEATURES = PREDICT.replace("predict", "features")


def test_what_they_are() -> None:
    """As OWASP's REST Security Cheat Sheet has it."""
    assert EXPECTED == {
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-site",
    }


def bare(method: str, path: str, version: str = "1.1") -> bytes:
    return f"{method} {path} HTTP/{version}\r\nHost: x\r\n\r\n".encode()


@pytest.mark.anyio
@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", [UVLOOP])
@pytest.mark.parametrize(
    ("request_bytes", "status", "quick"),
    [
        pytest.param(post(), 200, True, id="fast path"),
        pytest.param(post(b"broken"), 422, False, id="error"),
        pytest.param(post(LARGE), 200, False, id="usual path"),
        pytest.param(post(form(LARGE), type=FORM), 200, False, id="form"),
        pytest.param(post(path=f"{FEATURES}?layer=conv&format=png"), 200, False, id="picture"),
        pytest.param(bare("GET", "/v1/models"), 200, False, id="route"),
        pytest.param(bare("GET", "/v1/models/no"), 404, False, id="no model"),
        pytest.param(bare("GET", "/nowhere"), 404, False, id="no route"),
        pytest.param(bare("DELETE", "/v1/models"), 405, False, id="no method"),
        pytest.param(bare("GET", "/health/live"), 200, False, id="health"),
        pytest.param(bare("GET", "/metrics"), 200, False, id="metrics"),
        pytest.param(bare("GET", "/openapi.json"), 200, False, id="openapi"),
        pytest.param(bare("GET", "/v1/models", "1.2"), 400, False, id="not HTTP"),
        pytest.param(b"nonsense\r\n\r\n", 400, False, id="nonsense"),
    ],
)
async def test_every_answer_has_them_once(
    serving: Serving, request_bytes: bytes, status: int, quick: bool
) -> None:
    async with serving() as client:
        client.writer.write(request_bytes)
        head = (await client.reader.readuntil(b"\r\n\r\n")).decode()
    line, *lines = head.strip().split("\r\n")
    assert int(line.split()[1]) == status
    names = [each.partition(":")[0].lower() for each in lines]
    found = dict(each.split(": ", 1) for each in lines)
    assert {name: found.get(name) for name in EXPECTED} == EXPECTED
    assert len(set(names)) == len(names)
    if quick:
        assert client.taken == [True]


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_has_a_policy_of_its_own(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers.get_list("content-security-policy") == [headers["content-security-policy"]]
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    for part in ("object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"):
        assert part in policy
    assert headers.get_list("x-content-type-options") == ["nosniff"]
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"


def test_a_file_of_the_page_is_never_something_else(client: TestClient) -> None:
    headers = client.get("/static/playground.css").headers
    assert headers.get_list("x-content-type-options") == ["nosniff"]


@pytest.mark.slow
def test_an_unexpected_error_has_them_too(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("made up")

    repository = client.app.state.repository  # type: ignore[attr-defined]
    monkeypatch.setattr(type(repository), "names", fail)
    answer = client.get("/v1/models")
    assert answer.status_code == 500
    assert {name: answer.headers[name] for name in EXPECTED} == EXPECTED
