"""Schemathesis asks every operation for what the OpenAPI document allows, and for what it forbids.

All its checks but two must find nothing. One wants whatever fits the schema to be accepted, and a
schema can't say that bytes are an image, or how many channels a layer has. The other wants every
answer to have a documented type, and a head that is too long gets plain text (docs/http.md).
"""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.thorough
EXCLUDED = "positive_data_acceptance,content_type_conformance"
CHECKS = ("--checks", "all", "--exclude-checks", EXCLUDED)


def test_it_finds_nothing(url: str, tmp_path: Path) -> None:
    if find_spec("schemathesis") is None:
        pytest.skip("schemathesis is not installed")
    program = str(Path(sys.executable).parent / "schemathesis")
    command = [program, "run", f"{url}/openapi.json", *CHECKS, "--max-examples", "40"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "Tested: 11" in done.stdout, done.stdout  # every operation
