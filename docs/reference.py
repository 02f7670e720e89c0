"""Tables and texts of the reference pages, made from the code; `docs/tables.py` inserts them."""

import inspect
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from unittest.mock import patch

import click

from fanlight import AsyncClient, Client, command
from fanlight.client.images import Picture
from fanlight.parameters import Option
from models.checkpoint.card import Card
from models.registry import markdown_table
from service.app import create_app
from service.monitoring.metrics import Metrics
from service.settings import GROUPS, Settings

_METHODS = ("get", "post", "put", "delete")
_WIDTH = 90  # columns of help


def operations() -> str:
    """The endpoints by tag, as the OpenAPI document has them."""
    document = create_app(Settings.model_construct()).openapi()
    by_tag: dict[str, list[tuple[str, ...]]] = {}
    for path, methods in document["paths"].items():
        for method in _METHODS:
            if found := methods.get(method):
                line = (f"`{method.upper()} {path}`", found["summary"], _parameters(found))
                by_tag.setdefault(found["tags"][0], []).append(line)
    return _sections(by_tag, ("method, path", "does", "parameters"))


def _parameters(operation: Mapping[str, Any]) -> str:
    asked = [each for each in operation.get("parameters", ()) if each["in"] == "query"]
    return ", ".join(f"`{each['name']}`" for each in asked) or "none"


def settings() -> str:
    """Every setting with its option, variable and default, by the groups of the help."""
    options = {
        each.name: each
        for each in _command(command.root(), "serve").params
        if isinstance(each, Option)
    }
    by_group = {
        group: [
            (
                f"`{options[name].opts[0]}`",
                f"`{options[name].variable}`",
                options[name].shown or "none",
                (Settings.model_fields[name].description or "").partition("; default: ")[0],
            )
            for name in names
        ]
        for group, names in GROUPS.items()
    }
    return _sections(by_group, ("option", "variable", "default", "what it is"))


def metrics() -> str:
    """The figures at /metrics, except those that Prometheus' client adds for any process."""
    told = sorted(Metrics().described())
    lines = [
        (f"`{name}`", kind, ", ".join(f"`{each}`" for each in labels) or "none", about)
        for name, kind, labels, about in told
    ]
    return _table(("figure", "type", "labels", "what it tells"), lines)


def card() -> str:
    """The fields of card.json; a field of an object is written `object.field`."""
    schema = Card.model_json_schema()
    return _table(("field", "type", "what it is"), list(_fields(schema, schema, "")))


def _fields(
    schema: Mapping[str, Any], whole: Mapping[str, Any], before: str
) -> Iterator[tuple[str, ...]]:
    for name, found in schema.get("properties", {}).items():
        part = _resolved(found, whole)
        kind = part.get("type") or "any"
        if kind == "array":
            kind = f"list of {_resolved(part.get('items', {}), whole).get('type', 'any')}"
        about = found.get("description") or part.get("description", "").split("\n\n")[0]
        yield f"`{before}{name}`", kind, " ".join(about.split())
        if "properties" in part:
            yield from _fields(part, whole, f"{before}{name}.")


def _resolved(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema that a reference, or a choice between null and something, stands for."""
    choices = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if choices:
        schema = choices[0]
    if reference := schema.get("$ref"):
        found: Mapping[str, Any] = whole["$defs"][reference.rpartition("/")[2]]
        return found
    return schema


def commands() -> str:
    """What `--help` says of each command."""
    root = command.root()
    with patch.dict(os.environ), patch.object(sys, "argv", [command.PROGRAM]):
        for name in [each for each in os.environ if each.startswith("FANLIGHT_")]:
            del os.environ[name]
        parts = [_help(root, None, "")]
        for name in command.COMMANDS:
            parts.append(f"## {name}\n\n{_help(_command(root, name), name, f' {name}')}")
    return "\n\n".join(parts)


def _command(root: click.Group, name: str) -> click.Command:
    found = root.get_command(click.Context(root), name)
    assert found is not None  # noqa: S101 (it is one of the table)
    return found


def _help(found: click.Command, name: str | None, path: str) -> str:
    parent = None if name is None else click.Context(command.root(), info_name=command.PROGRAM)
    context = click.Context(
        found, parent, name or command.PROGRAM, max_content_width=_WIDTH, terminal_width=_WIDTH
    )
    lines = [line.rstrip() for line in found.get_help(context).split("\n")]
    text = "```text\n" + "\n".join(lines).strip("\n") + "\n```"
    below = []
    if isinstance(found, click.Group) and name is not None:
        for each in found.list_commands(context):
            inner = found.get_command(context, each)
            assert inner is not None  # noqa: S101 (as above)
            about = (inner.help or "").split("\n\n")[0]
            below.append((f"`fanlight{path} {each}`", " ".join(about.split())))
    return text + (f"\n\n{_table(('command', 'does'), below)}" if below else "")


def client() -> str:
    """The public methods of `Client`; `AsyncClient` has the same."""
    methods = [name for name in vars(Client) if not name.startswith("_")]
    assert set(methods) == {each for each in vars(AsyncClient) if not each.startswith("_")}  # noqa: S101
    about = "`Picture` is a path, encoded bytes, an image of Pillow, or an array of uint8."
    parts = [about, _code(f"Client{_signature(Client.__init__)}"), str(inspect.getdoc(Client))]
    for name in methods:
        method = getattr(Client, name)
        parts += [_code(f"{name}{_signature(method)}"), str(inspect.getdoc(method))]
    return "\n\n".join(parts)


def _code(text: str) -> str:
    return f"```python\n{text}\n```"


def _signature(method: Any) -> str:
    found = inspect.signature(method)
    plain = [each for name, each in found.parameters.items() if name != "self"]
    text = str(found.replace(parameters=plain))
    text = text.replace(inspect.formatannotation(Picture), "Picture")
    return re.sub(r"~|\b(?:[a-z]+\.)+(?=[A-Z])|\bnumpy\.", "", text)


def _sections(parts: Mapping[str, Sequence[Sequence[str]]], head: Sequence[str]) -> str:
    return "\n\n".join(f"### {name}\n\n{_table(head, lines)}" for name, lines in parts.items())


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return markdown_table(list(head), [list(line) for line in lines])
