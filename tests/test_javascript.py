"""The page's JavaScript: lint, format, types and unit tests, with the tools of `npm ci`."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from pydantic import BaseModel

from service.responses.inside.explanations import ImageExplanation
from service.responses.inside.features import Activation
from service.responses.models import ExplainMethodInfo, LayerInfo, ModelDetail
from service.responses.predictions import LabelScore, SurePrediction

ROOT = Path(__file__).parents[1]
NPM = shutil.which("npm")
FILES = [
    *sorted((ROOT / "service" / "static").rglob("*.[jt]s")),
    *sorted((ROOT / "tests" / "page").glob("*.js")),
]
ESCAPES = re.compile(
    r"@ts-(ignore|expect-error|nocheck)|\bany[][}>|&),;]|(:|<|\|)\s*any\b|biome-ignore"
)


@pytest.mark.slow
@pytest.mark.skipif(NPM is None, reason="there is no npm; install Node.js 20 or newer")
@pytest.mark.skipif(
    not (ROOT / "node_modules" / ".bin").is_dir(),
    reason="node_modules is missing; run `npm ci`",
)
@pytest.mark.parametrize("script", ["lint", "format", "types", "test"])
def test_a_check_of_package_json_finds_nothing(script: str) -> None:
    command = [str(NPM), "run", "--silent", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"npm run {script} fails:\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_type_is_escaped(file: Path) -> None:
    assert ESCAPES.findall(file.read_text()) == []


@pytest.mark.parametrize(
    ("interface", "schema"),
    [
        ("LabelScore", LabelScore),
        ("Prediction", SurePrediction),
        ("Layer", LayerInfo),
        ("ExplainMethod", ExplainMethodInfo),
        ("ModelDetail", ModelDetail),
        ("Activation", Activation),
        ("Explanation", ImageExplanation),
    ],
)
def test_what_the_page_relies_on_is_in_the_api(interface: str, schema: type[BaseModel]) -> None:
    """Each property that a type of the page has without `?` is one of the schema's."""
    types = (ROOT / "service" / "static" / "types.d.ts").read_text()
    found = re.search(
        rf"^interface {interface}\b[^{{]*{{\n(.*?)^}}", types, re.MULTILINE | re.DOTALL
    )
    assert found is not None
    always = set(re.findall(r"^  (\w+):", found[1], re.MULTILINE))
    assert always
    assert always - schema.model_fields.keys() == set()


def test_the_lock_file_works_with_every_registry() -> None:
    """Checksums say what is installed; the registry is the choice of whoever installs."""
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    installed = {name: package for name, package in packages.items() if name}
    assert installed
    assert [name for name, package in installed.items() if "integrity" not in package] == []
    assert [name for name, package in installed.items() if "resolved" in package] == []


def test_the_page_needs_no_package() -> None:
    """Packages check the page; browsers load only the files of this folder."""
    assert "dependencies" not in json.loads((ROOT / "package.json").read_text())
    for file in (ROOT / "service" / "static" / "playground").glob("*.js"):
        sources = re.findall(r'(?:from|import)\s*\(?"([^"]+)"', file.read_text())
        assert [source for source in sources if not (file.parent / source).is_file()] == []
