"""Examples for the OpenAPI document: real answers, which `python -m docs.examples` asks for."""

import json
from functools import cache
from pathlib import Path
from typing import Any

MEDIA_TYPES = ("application/json", "application/problem+json", "text/plain")
FILE = Path(__file__).with_name("examples.json")
MODEL, LAYER = "mnist-cnn", "conv1.0"  # of a model that Fanlight ships
_NAMES = {"model": MODEL, "layer": LAYER, "method": "saliency"}  # of parameters


@cache
def answers() -> dict[str, Any]:
    """Return the example answers, by the operation's name."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def add(operation: dict[str, Any]) -> None:
    """Add examples to one operation of the OpenAPI document, which is changed in place.

    They are of its answer in JSON or text, of its errors, and of the parameters that it requires.
    """
    name = operation["operationId"]
    problems = answers()["problems"].get(name, {})
    examples = problems | ({"200": answers()[name]} if name in answers() else {})
    for status, response in operation["responses"].items():
        for media_type, told in response.get("content", {}).items():
            if status in examples and media_type in MEDIA_TYPES:
                told["example"] = examples[status]
    for parameter in operation.get("parameters", ()):
        name = parameter["name"]
        if name in _NAMES and parameter["required"]:
            is_list = parameter["schema"].get("type") == "array"
            parameter["example"] = [_NAMES[name]] if is_list else _NAMES[name]
