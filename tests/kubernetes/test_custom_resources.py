"""Objects of KEDA, the Prometheus Operator and KServe fit the types and schemas of their makers.

These come as packages: of npm (`npm ci --prefix tests/kubernetes`), and of PyPI (`pip install
kserve` into an environment of its own, since it wants older packages; KSERVE_PYTHON names its
Python).
"""

import json
import os
import shutil
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kubernetes.manifests import RUNTIME, needs_kubectl, only, overlay, rendered

pytestmark = [pytest.mark.thorough, needs_kubectl]

HERE = Path(__file__).parent
PYTHON = os.environ.get("KSERVE_PYTHON", "")
MODULES = {
    "ScaledObject": "@kubernetes-models/keda/keda.sh/v1alpha1",
    "ServiceMonitor": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
}
VALIDATE = """
const { [process.argv[2]]: Kind } = await import(process.argv[1]);
const text = await new Response(process.stdin).text();
new Kind(JSON.parse(text)).validate();
"""
needs_packages = pytest.mark.skipif(
    shutil.which("node") is None or not (HERE / "node_modules" / ".bin").is_dir(),
    reason="packages are missing; install Node.js 20, and run `npm ci --prefix tests/kubernetes`",
)


def custom(kind: str) -> dict[str, Any]:
    return only(overlay("cpu-to-zero"), kind)


def fits_schema(kind: str, manifest: dict[str, Any]) -> str:
    """Return what the schema of the custom resource finds wrong: types, patterns."""
    command = ["node", "--input-type=module", "-e", VALIDATE, MODULES[kind], kind]
    text = json.dumps(manifest)
    done = subprocess.run(command, cwd=HERE, input=text, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stderr


def fits_type(kind: str, manifest: dict[str, Any], file: Path) -> str:
    """Return what TypeScript finds wrong: unknown and missing fields."""
    file.write_text(
        f'import type {{ I{kind} }} from "{MODULES[kind]}";\n'
        f"export const manifest: I{kind} = {json.dumps(manifest)};\n"
    )
    options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext"]
    command = [str(HERE / "node_modules" / ".bin" / "tsc"), *options, str(file)]
    return subprocess.run(command, cwd=HERE, capture_output=True, text=True).stdout


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file for TypeScript, which looks for packages in the folders above it."""
    (tmp_path / "node_modules").symlink_to(HERE / "node_modules")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    return tmp_path / "manifest.ts"


@needs_packages
@pytest.mark.parametrize("kind", MODULES)
def test_custom_resources_fit_schemas_and_types(kind: str, file: Path) -> None:
    manifest = custom(kind)
    assert fits_schema(kind, manifest) == ""
    assert fits_type(kind, manifest, file) == ""


@needs_packages
def test_wrong_custom_resources_do_not_fit(file: Path) -> None:
    monitor = deepcopy(custom("ServiceMonitor"))
    monitor["spec"]["endpoints"][0]["interval"] = "5 seconds"
    assert "interval" in fits_schema("ServiceMonitor", monitor)
    scaled = deepcopy(custom("ScaledObject"))
    scaled["spec"]["cooldownTime"] = 5
    assert "cooldownTime" in fits_type("ScaledObject", scaled, file)


KSERVE = '''
import json, re, sys
from kserve import models
from kubernetes.client import models as core

def check(kind, value, place):
    """Compare with the fields that the SDK's class has; types of single values too."""
    if found := re.fullmatch(r"list\\[(.*)\\]", kind):
        assert isinstance(value, list), place
        for each in value:
            check(found[1], each, place)
    elif found := re.fullmatch(r"dict\\(str, (.*)\\)", kind):
        for each in value.values():
            check(found[1], each, place)
    elif kind in ("str", "int", "bool"):
        assert type(value).__name__ == kind, f"{place}: {value!r} is no {kind}"
    elif model := getattr(models, kind, None) or getattr(core, kind, None):
        names = {known: ours for ours, known in model.attribute_map.items()}
        for name, inner in value.items():
            assert name in names, f"{place} has no field {name}"
            check(model.openapi_types[names[name]], inner, f"{place}.{name}")

for kind, manifest in json.load(sys.stdin):
    check(kind, manifest, kind)
'''


def kserves(*manifests: tuple[str, dict[str, Any]]) -> str:
    """Return what KServe's SDK does not know of the manifests."""
    command = [PYTHON, "-c", KSERVE]
    text = json.dumps(manifests)
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stderr


@pytest.mark.skipif(not PYTHON, reason="KSERVE_PYTHON names no Python that has KServe's SDK")
def test_objects_of_kserve_have_the_fields_of_its_sdk() -> None:
    runtime = only(rendered(RUNTIME), "ServingRuntime")
    service = yaml.safe_load((RUNTIME / "mnist-cnn.yaml").read_text())
    assert kserves(("V1alpha1ServingRuntime", runtime), ("V1beta1InferenceService", service)) == ""
    wrong = {**runtime, "spec": {**runtime["spec"], "protocolVersion": "v2"}}
    assert "protocolVersion" in kserves(("V1alpha1ServingRuntime", wrong))
