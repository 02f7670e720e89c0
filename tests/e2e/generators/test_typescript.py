"""Clients of two generators that run on Node call every operation; Spectral checks the API."""

import json
from pathlib import Path

import pytest

from docs import tables
from service.responses import openapi_3_0
from tests.e2e.generators.called import DIGESTS, FILES, needs_node, tool, typescript_ran

pytestmark = pytest.mark.thorough


def test_openapi_typescript_with_openapi_fetch(
    url: str, received: list[str], tmp_path: Path
) -> None:
    needs_node()
    types = tmp_path / "client" / "types.ts"
    tool("openapi-typescript", str(tables.OPENAPI), "--output", str(types), folder=tmp_path)
    typescript_ran("fetch.ts", tmp_path, url, *map(str, FILES))
    assert sorted(received[:2]) == DIGESTS


def test_hey_api(url: str, received: list[str], tmp_path: Path) -> None:
    needs_node()
    options = ("--input", str(tables.OPENAPI), "--output", "client")
    tool("openapi-ts", *options, "--plugins", "@hey-api/client-fetch", folder=tmp_path)
    typescript_ran("hey.ts", tmp_path, url, *map(str, FILES))
    assert sorted(received[:2]) == DIGESTS


def test_spectral_finds_nothing(tmp_path: Path) -> None:
    needs_node()
    older = openapi_3_0.rendering(json.loads(tables.OPENAPI.read_text()))
    (tmp_path / "openapi-3.0.json").write_text(json.dumps(older))
    (tmp_path / ".spectral.yaml").write_text('extends: ["spectral:oas"]\n')
    documents = (str(tables.OPENAPI), "openapi-3.0.json")
    tool("spectral", "lint", "--fail-severity", "hint", *documents, folder=tmp_path)
