"""Clients that openapi-generator writes call every operation: Python, TypeScript, Go and Java."""

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from docs import tables
from tests.e2e.generators.called import (
    DIGESTS,
    FILES,
    HERE,
    MODEL,
    TOLD,
    needs_node,
    ran,
    typescript_ran,
)

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(shutil.which("java") is None, reason="java is not on PATH"),
]


def generate(folder: Path, language: str, *options: str) -> None:
    """Write the client for the document as it is committed."""
    pytest.importorskip("openapi_generator_cli", reason="openapi-generator-cli is not installed")
    command = [
        *(str(Path(sys.executable).parent / "openapi-generator-cli"), "generate", "-g", language),
        *("-i", str(tables.OPENAPI), "-o", str(folder), *options),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_python(url: str, received: list[str], tmp_path: Path, monkeypatch: Any) -> None:
    generate(tmp_path, "python", "--additional-properties=packageName=fanlight_generated")
    monkeypatch.syspath_prepend(tmp_path)
    client = importlib.import_module("fanlight_generated")
    images = [(each.name, each.read_bytes()) for each in FILES]
    with client.ApiClient(client.Configuration(host=url)) as connection:
        health = client.HealthApi(connection)
        predicted = client.PredictApi(connection).predict(MODEL, images, top_k=1)
        inside = client.LookInsideApi(connection)
        features = inside.features(MODEL, images=images, layer=["stem"])
        detail = client.ModelsApi(connection).get_model(MODEL)
        explained = inside.explain(MODEL, images=images, method="saliency")
        kernels = inside.kernels(MODEL, "stem")
        fields = inside.receptive_fields(MODEL)
        inputs = inside.input(MODEL, images=images)
        with pytest.raises(client.ApiException) as broken:
            client.PredictApi(connection).predict(MODEL, [("broken.png", b"broken")])
        kinds = {
            client.Predictions: predicted,
            client.Features: features,
            client.ModelDetail: detail,
            client.Explanations: explained,
            client.Kernels: kernels,
            client.ReceptiveFields: fields,
            client.Inputs: inputs,
            client.ModelList: client.ModelsApi(connection).list_models(),
        }
        for kind, answer in kinds.items():
            assert isinstance(answer, kind)
        problem = json.loads(broken.value.body)
        told = {
            "live": health.live().status,
            "ready": health.ready().status,
            "figures": "fanlight_build_info" in health.metrics(),
            "labels": detail.card.labels,
            "label": predicted.predictions[0].label,
            "predictions": len(predicted.predictions),
            "features": [each.shape for each in features.layers],
            "kernels": kernels.shape,
            "fields": len(fields.layers) > 0,
            "inputs": len(inputs.images),
            "explained": len(explained.explanations),
            "problem": [problem["status"], problem["errors"][0]["index"]],
        }
    assert told == {**TOLD, "problem": [422, 0]}  # it declares a type, by the file's name
    assert sorted(received[:2]) == DIGESTS


def test_typescript(url: str, received: list[str], tmp_path: Path) -> None:
    needs_node()
    generate(
        tmp_path / "client", "typescript-fetch", "--additional-properties=importFileExtension=.js"
    )
    typescript_ran("openapi_generator.ts", tmp_path, url, *map(str, FILES))
    assert sorted(received[:2]) == DIGESTS


@pytest.mark.skipif(shutil.which("go") is None, reason="go is not on PATH")
def test_go(url: str, received: list[str], tmp_path: Path, broken: Path) -> None:
    """Compiled with no other package than the client, then run."""
    generate(tmp_path / "fanlight", "go", "--additional-properties=packageName=fanlight")
    for left in ("go.mod", "go.sum", "test"):  # their module has a name to fill in
        found = tmp_path / "fanlight" / left
        shutil.rmtree(found) if found.is_dir() else found.unlink(missing_ok=True)
    (tmp_path / "go.mod").write_text("module example.com/client\n\ngo 1.18\n")
    shutil.copy(HERE / "openapi_generator.go", tmp_path / "main.go")
    built = subprocess.run(
        ["go", "build", "-o", "main", "."], cwd=tmp_path, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    ran(["./main", url, *map(str, FILES), str(broken)], tmp_path)
    assert sorted(received[:2]) == DIGESTS


JARS = [
    Path("/usr/share/java") / name for name in ("httpmime.jar", "geronimo-annotation-1.3-spec.jar")
]
"""What the client needs beside the packages that the generator brings, as Debian installs it."""


@pytest.mark.skipif(shutil.which("javac") is None, reason="javac is not on PATH")
def test_java(url: str, received: list[str], tmp_path: Path, broken: Path) -> None:
    if missing := [str(each) for each in JARS if not each.exists()]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    properties = "openApiNullable=false,useSingleRequestParameter=true"
    options = ("--library", "native", f"--additional-properties={properties}")
    generate(tmp_path / "client", "java", *options)
    generator = importlib.import_module("openapi_generator_cli").__file__
    packages = [*Path(str(generator)).parent.glob("**/*.jar"), *JARS]
    paths = ":".join(map(str, packages))
    program = HERE / "Generated.java"
    sources = [*(tmp_path / "client/src/main/java").rglob("*.java"), program]
    command = ["javac", "-nowarn", "-d", "built", "-cp", paths, *map(str, sources)]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    called = ["java", "-cp", f"built:{paths}", "Generated", url, *map(str, FILES), str(broken)]
    ran(called, tmp_path)
    assert sorted(received[:2]) == DIGESTS
