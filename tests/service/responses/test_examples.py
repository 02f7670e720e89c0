"""The examples of the OpenAPI document are real and valid, and so is its older rendering."""

import re
from typing import Any

import openapi_spec_validator
import pytest
import torch
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator

from docs import examples as asked
from models import checkpoint
from service.responses import examples, openapi_3_0
from service.settings import SHIPPED
from tests.service.responses.test_openapi import operations


@pytest.fixture(scope="module")
def document(client: TestClient) -> dict[str, Any]:
    told: dict[str, Any] = client.get("/openapi.json").json()
    return told


def contents(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """What operations answer in JSON or text: name, status, and the media type's object."""
    return [
        (operation["operationId"], status, told)
        for operation in operations(document)
        for status, response in operation["responses"].items()
        for kind, told in response.get("content", {}).items()
        if kind.endswith("/json") or kind in ("application/problem+json", "text/plain")
    ]


def test_every_answer_and_error_has_one_that_its_schema_allows(document: dict[str, Any]) -> None:
    names = set()
    for operation, status, told in contents(document):
        names.add(operation)
        assert "example" in told, (operation, status)
        schema = {**told["schema"], "components": document["components"]}
        Draft202012Validator(schema).validate(told["example"])
    assert names == set(examples.answers()) - {"problems"}


def test_an_error_is_one_of_its_own_operation(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))
        for operation in methods.values():
            for status, response in operation["responses"].items():
                if problem := response["content"].get("application/problem+json"):
                    assert problem["example"]["status"] == int(status)
                    assert re.fullmatch(pattern, problem["example"]["instance"])


def test_the_names_in_them_exist(document: dict[str, Any]) -> None:
    card = checkpoint.load(checkpoint.find(SHIPPED, examples.MODEL), torch.device("cpu"))
    assert examples.LAYER in {layer.name for layer in card.layers}
    given = {
        parameter["name"]: parameter.get("example")
        for operation in operations(document)
        for parameter in operation.get("parameters", ())
        if parameter["required"]
    }
    assert given["model"] == examples.MODEL
    assert None not in given.values()


def test_they_are_answers_of_today() -> None:
    """But for numbers: `python -m docs.examples` asks for them again."""

    def shape(told: Any) -> Any:
        if isinstance(told, dict):
            return {name: shape(value) for name, value in told.items() if name != "request_id"}
        if isinstance(told, list):
            return [shape(each) for each in told]
        return float if isinstance(told, float) else told

    assert shape(asked.found()) == shape(examples.answers())


def test_as_3_0_it_is_valid(client: TestClient, document: dict[str, Any]) -> None:
    older = client.get("/openapi-3.0.json").json()
    assert older["openapi"] == openapi_3_0.VERSION
    openapi_spec_validator.validate(older)
    assert older["paths"].keys() == document["paths"].keys()
    assert older["components"]["schemas"].keys() == document["components"]["schemas"].keys()
    [coverage] = [
        parameter["schema"]
        for parameter in older["paths"]["/v1/models/{model}/predict"]["post"]["parameters"]
        if parameter["name"] == "coverage"
    ]
    assert (coverage["minimum"], coverage["exclusiveMinimum"]) == (0, True)
    for each in (document, older):  # tuples are lists of a fixed length
        ground = each["components"]["schemas"]["Expectation"]["properties"]["ground"]
        assert "prefixItems" not in ground
        assert ground["items"]["maximum"] == 255
        assert ground["minItems"] == ground["maxItems"] == 2


def test_what_3_0_lacks_is_said_otherwise() -> None:
    told = {
        "type": "array",
        "items": {"anyOf": [{"type": "integer"}, {"const": "x"}, {"$ref": "#/a"}]},
        "properties": {"b": {"$ref": "#/a", "title": "B"}},
        "example": {"const": 1, "exclusiveMinimum": 2},
    }
    assert openapi_3_0.rendering({"schema": told}) == {
        "openapi": "3.0.3",
        "schema": {
            "type": "array",
            "items": {"anyOf": [{"type": "integer"}, {"enum": ["x"]}, {"$ref": "#/a"}]},
            "properties": {"b": {"allOf": [{"$ref": "#/a"}], "title": "B"}},
            "example": {"const": 1, "exclusiveMinimum": 2},
        },
    }
