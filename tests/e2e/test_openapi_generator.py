"""Clients that openapi-generator writes call every operation: Python, TypeScript, Go and Java."""

import hashlib
import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docs import tables
from models.repository_paths import SHIPPED
from service.app import create_app
from service.images.decoding import Decoder
from service.images.encoded import EncodedImage
from service.settings import Settings
from tests.e2e.servers import in_thread
from tests.networks import DATA

ROOT = Path(__file__).parents[2]
FILES = [DATA / "birds-vs-planes" / name for name in ("bird-owl.png", "airplane-747.png")]
DIGESTS = sorted(hashlib.sha256(each.read_bytes()).hexdigest() for each in FILES)
MODEL = "birds-vs-planes"
TOLD = {
    "live": "live",
    "ready": "ready",
    "figures": True,
    "labels": ["airplane", "bird"],
    "label": "bird",
    "predictions": 2,
    "features": [[24, 31, 31]],
    "kernels": [24, 3, 2, 2],
    "fields": True,
    "inputs": 2,
    "explained": 2,
    "problem": [415, 0],
}
"""What each client finds, but the names of the models."""

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


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The SHA-256 of every image whose pixels the server wants."""
    digests: list[str] = []
    pixels = Decoder.pixels

    async def recorded(decoder: Decoder, uploads: list[EncodedImage], spec: Any) -> Any:
        digests.extend(hashlib.sha256(each.encoded).hexdigest() for each in uploads)
        return await pixels(decoder, uploads, spec)

    monkeypatch.setattr(Decoder, "pixels", recorded)
    return digests


@pytest.fixture
def url(received: list[str]) -> Iterator[str]:
    with in_thread(create_app(Settings(repository=(SHIPPED,), device="cpu"))) as url:
        yield url


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A file that is no image."""
    path = tmp_path / "broken.png"
    path.write_bytes(b"broken")
    return path


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


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not on PATH")
def test_typescript(url: str, received: list[str], tmp_path: Path) -> None:
    """Compiled in strict mode, then run."""
    compiler = ROOT / "node_modules" / ".bin" / "tsc"
    if not compiler.exists():
        pytest.skip("npm ci has not installed the compiler")
    generate(
        tmp_path / "client", "typescript-fetch", "--additional-properties=importFileExtension=.js"
    )
    shutil.copy(Path(__file__).with_name("generated.ts"), tmp_path / "main.ts")
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    options = {
        "strict": True,
        "target": "es2022",
        "module": "nodenext",
        "outDir": "built",
        "rootDir": ".",
        "types": ["node"],
        "lib": ["es2022", "dom", "dom.iterable"],
    }
    (tmp_path / "tsconfig.json").write_text(
        json.dumps({"compilerOptions": options, "files": ["main.ts"]})
    )
    compiled = subprocess.run([compiler], cwd=tmp_path, capture_output=True, text=True)
    assert compiled.returncode == 0, compiled.stdout
    ran(["node", "built/main.js", url, *map(str, FILES)], tmp_path)
    assert sorted(received[:2]) == DIGESTS


def ran(command: list[str], folder: Path) -> None:
    """Run a program in the folder; check what it tells of the answers."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert MODEL in found.pop("models")
    assert found == TOLD


@pytest.mark.skipif(shutil.which("go") is None, reason="go is not on PATH")
def test_go(url: str, received: list[str], tmp_path: Path, broken: Path) -> None:
    """Compiled with no other package than the client, then run."""
    generate(tmp_path / "fanlight", "go", "--additional-properties=packageName=fanlight")
    for left in ("go.mod", "go.sum", "test"):  # their module has a name to fill in
        found = tmp_path / "fanlight" / left
        shutil.rmtree(found) if found.is_dir() else found.unlink(missing_ok=True)
    (tmp_path / "go.mod").write_text("module example.com/client\n\ngo 1.18\n")
    shutil.copy(Path(__file__).with_name("generated.go"), tmp_path / "main.go")
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
    program = Path(__file__).with_name("Generated.java")
    sources = [*(tmp_path / "client/src/main/java").rglob("*.java"), program]
    command = ["javac", "-nowarn", "-d", "built", "-cp", paths, *map(str, sources)]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    called = ["java", "-cp", f"built:{paths}", "Generated", url, *map(str, FILES), str(broken)]
    ran(called, tmp_path)
    assert sorted(received[:2]) == DIGESTS
