"""The OpenAPI document, as client generators need it; and the page that shows it."""

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import openapi_spec_validator
import pytest
from fastapi.testclient import TestClient

from tests.service.conftest import Serve

FILES = {"image/png", "application/octet-stream"}
LINES = "application/x-ndjson"  # with which `explain` tells how far it is


@pytest.fixture
def document(client: TestClient) -> dict[str, Any]:
    answer: dict[str, Any] = client.get("/openapi.json").json()
    return answer


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in document["paths"].values():
        yield from methods.values()


def test_operations_have_short_names(document: dict[str, Any]) -> None:
    names = {operation["operationId"] for operation in operations(document)}
    assert names == {
        *("live", "ready", "metrics", "list_models", "get_model", "predict"),
        *("features", "kernels", "receptive_fields", "explain", "input"),
    }


def test_it_is_valid(document: dict[str, Any]) -> None:
    openapi_spec_validator.validate(document)


def test_json_comes_first(document: dict[str, Any]) -> None:
    """Generators take the first type of an answer; JSON is what `format` means by default."""
    for operation in operations(document):
        types = list(operation["responses"]["200"]["content"])
        assert "application/json" not in types[1:], operation["operationId"]


def test_every_operation_has_a_tag_that_is_described(document: dict[str, Any]) -> None:
    described = {tag["name"] for tag in document["tags"] if tag["description"]}
    assert {tag for each in operations(document) for tag in each["tags"]} == described
    assert document["servers"] == [{"url": "/", "description": "this service"}]
    assert document["info"]["contact"]


def test_file_parts_are_binary(document: dict[str, Any]) -> None:
    content = document["paths"]["/v1/models/{model}/predict"]["post"]["requestBody"]["content"]
    assert content["multipart/form-data"]["schema"] == {"$ref": "#/components/schemas/Images"}
    images = document["components"]["schemas"]["Images"]["properties"]["images"]
    assert images["items"] == {"type": "string", "format": "binary"}
    for type in ("png", "jpeg", "webp", "bmp", "gif", "tiff", "avif", "heif"):
        assert content[f"image/{type}"]["schema"] == {"type": "string", "format": "binary"}


@pytest.mark.parametrize("operation", ["predict", "features", "explain", "input"])
def test_json_is_told_in_words(document: dict[str, Any], operation: str) -> None:
    """openapi-generator's clients take a type with `json` in its name for the one to send."""
    path = document["paths"][f"/v1/models/{{model}}/{operation}"]
    body = path["post"]["requestBody"]
    assert next(iter(body["content"])) == "multipart/form-data"
    assert not any("json" in each for each in body["content"])
    for example in ('{"images": ["…", …]}', "curl -F images=@", "--data-binary @"):
        assert example in body["description"]


def test_the_header_of_pictures_is_text(document: dict[str, Any]) -> None:
    response = document["paths"]["/v1/models/{model}/explain"]["post"]["responses"]["200"]
    assert response["headers"]["X-Fanlight"]["schema"] == {"type": "string"}


def test_every_error_is_a_problem(document: dict[str, Any]) -> None:
    for operation in operations(document):
        for status, response in operation["responses"].items():
            if (operation["operationId"], status) == ("metrics", "200"):
                assert list(response["content"]) == ["text/plain"]
            elif status == "200":
                assert "$ref" in response["content"]["application/json"]["schema"]
                lines = {LINES} if operation["operationId"] == "explain" else set()
                assert set(response["content"]) <= {"application/json", *FILES, *lines}
            else:
                [(type, media)] = response["content"].items()
                assert type == "application/problem+json"
                assert media["schema"] == {"$ref": "#/components/schemas/Problem"}
    predict = document["paths"]["/v1/models/{model}/predict"]["post"]["responses"]
    assert {int(status) for status in predict} == {
        200, 400, 401, 404, 408, 413, 415, 422, 429, 503, 504
    }  # fmt: skip


def test_every_status_says_what_it_means_for_its_operation(document: dict[str, Any]) -> None:
    told = {
        (operation["operationId"], int(status)): response["description"]
        for operation in operations(document)
        for status, response in operation["responses"].items()
    }
    usual = {"Successful Response", *(each.phrase for each in HTTPStatus)}
    assert not usual & set(told.values())
    refused = {name: text for (name, status), text in told.items() if status == 422}
    assert {name for name, text in refused.items() if "image" in text} == {
        *("predict", "features", "explain", "input")
    }
    assert {name for name, text in refused.items() if "finite" in text} == {
        *("predict", "features", "explain")
    }
    succeeded = [text for (_, status), text in told.items() if status == 200]
    assert len(set(succeeded)) == len(succeeded)


def test_schemas_have_names_and_no_null(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert {"Problem", "Predictions", "Prediction", "ModelList", "ModelDetail", "Card"} <= set(
        schemas
    )
    assert "HTTPValidationError" not in schemas
    assert "'null'" not in str(document)


def test_references_lead_somewhere(document: dict[str, Any]) -> None:
    for name in re.findall(r"#/components/schemas/(\w+)", str(document)):
        assert name in document["components"]["schemas"]


def test_a_key_is_documented_where_one_is_asked_for(serve: Serve) -> None:
    document = serve(api_key="sesame").get("/openapi.json").json()
    predict = document["paths"]["/v1/models/{model}/predict"]["post"]
    assert predict["security"] == [{"api_key": []}]
    assert "security" not in document["paths"]["/health/live"]["get"]
    assert document["components"]["securitySchemes"]["api_key"]["scheme"] == "bearer"


def test_no_key_is_documented_where_none_is(document: dict[str, Any]) -> None:
    assert "security" not in str(document)


def test_the_page_loads_everything_from_here(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "://" not in page.text
    assets = re.findall(r'(?:src|href)="([^"#]+\.(?:js|css|json))"', page.text)
    assert len(assets) == 5
    for asset in assets:
        assert client.get(f"/{asset}").status_code == 200


def test_the_playground_loads_everything_from_here(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'self'; img-src 'self' data: blob:; object-src 'none'")
    assert "unsafe" not in policy
    assert "://" not in page.text
    assert "style=" not in page.text
    for asset in re.findall(r'(?:src|href)="(static/[^"]+)"', page.text):
        answer = client.get(f"/{asset}")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-cache"
        again = client.get(f"/{asset}", headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304
