"""Clients of two generators that run on Node call every operation; Spectral checks the document."""

from pathlib import Path

import pytest

from docs import tables
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
    (tmp_path / ".spectral.yaml").write_text('extends: ["spectral:oas"]\n')
    tool("spectral", "lint", "--fail-severity", "hint", str(tables.OPENAPI), folder=tmp_path)
