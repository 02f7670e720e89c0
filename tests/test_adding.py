"""One thing of each kind is added to a copy of the project: one file each, found everywhere.

The toys are text: what a stranger would write by the sections of CONTRIBUTING.md.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from PIL import Image

from tests.e2e.servers import Server, running

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
PACKAGES = ("models", "training", "service", "fanlight", "docs", "benchmarks")

NEW = {
    "models/architectures/toy.py": '''
        from torch import nn

        from models.architectures.registry import register
        from models.preprocessing import InputSpec


        @register("toy", InputSpec(channels=1, height=8, width=8))
        def toy(num_classes: int, toys: int = 4) -> nn.Module:
            """A toy of some units."""
            return nn.Sequential(nn.Flatten(), nn.Linear(64, toys), nn.Linear(toys, num_classes))
        ''',
    "service/inference/runtimes/toy.py": """
        from service.inference.runtimes.registry import Attempt, RuntimeEntry, register


        class Toy:
            name = "toy"
            independent = False

            def __init__(self, eager):
                self.eager = eager

            def __call__(self, batch):
                return self.eager(batch)

            def settle(self):
                pass


        register(
            RuntimeEntry(
                name="toy",
                title="Toy",
                description="A toy that asks torch.",
                product="toy",
                devices=("cpu",),
                precisions=("float32",),
                rank=0,
                attempts=lambda setup: [Attempt(lambda: Toy(setup.eager))],
            )
        )
        """,
    "service/inference/explain_methods/toy.py": """
        from pydantic import Field

        from service.inference.explain_methods.method import (
            METHODS,
            Attribution,
            ExplainMethod,
            Parameters,
        )


        class ToyParameters(Parameters):
            toys: int = Field(2, ge=1, le=7, description="toys to play with")
            child: str = Field(description="who plays")


        class Toy(ExplainMethod[ToyParameters]):
            name = "toy"
            title = "A toy"
            description = "The same number everywhere."
            model = ToyParameters

            def attribute(self, subject, parameters):
                return Attribution(subject.batch[0, 0].detach() * 0 + parameters.toys)


        METHODS.register(Toy())
        """,
    "training/data/sets/toy.py": """
        from training.data.registry import DatasetEntry, register

        register(
            DatasetEntry(
                name="toyland",
                description="Pictures of toys.",
                shape=(1, 8, 8),
                labels=("car", "doll"),
                pictures=(4, 2),
                source="nowhere",
                load=lambda train, root, spec: None,
            )
        )
        """,
    "service/routes/toys.py": '''
        from typing import Annotated

        from fastapi import APIRouter, Query
        from pydantic import Field

        from service.requests.parameters import Parameters
        from service.responses.schemas import Schema
        from service.state import State

        router = APIRouter(prefix="/v1/toys", tags=["toys"])


        class ToysParameters(Parameters):
            most: int = Field(3, ge=1, le=9, description="toys")


        class Toys(Schema):
            toys: int


        @router.get("", operation_id="toys", summary="Count the toys")
        async def toys(asked: Annotated[ToysParameters, Query()], state: State) -> Toys:
            """The toys."""
            return Toys(toys=min(asked.most, state.settings.toy_limit))
        ''',
}
# file → (a line of it, what stands there instead)
CHANGED = {
    "models/images/formats.py": [
        (
            "register(\n    ImageFormat(\n        name=\"tiff\",",
            "register(\n    ImageFormat(\n"
            "        name=\"toy-pcx\",\n"
            "        description=\"Pictures of toys.\",\n"
            "        pillow=\"PCX\",\n"
            "        beginning=re.compile(rb\"\\x0a[\\x00-\\x05]\\x01\"),\n"
            "        extensions=(\".pcx\",),\n"
            "        media_types=(\"image/vnd.zbrush.pcx\",),\n"
            "    )\n)\n"
            "register(\n    ImageFormat(\n        name=\"tiff\",",
        )
    ],
    "service/settings.py": [
        (
            "    max_images: Count =",
            "    toy_limit: int = Field(2, ge=1, le=5, description=\"toys at once\")\n"
            "    max_images: Count =",
        ),
        (
            "        \"max_images\",\n",
            "        \"toy_limit\",\n        \"max_images\",\n",
        ),
    ],
    # the toy field of a prediction: its schema, and its value
    "service/responses/predictions.py": [
        (
            "class Predictions(Schema):\n",
            "class Predictions(Schema):\n    toys: int = Field(description=\"of this request\")\n",
        ),
        (
            "orjson.dumps({\"model\": card.name,",
            "orjson.dumps({\"toys\": 1, \"model\": card.name,",
        ),
    ],
}  # fmt: skip
PUBLISH = """
from models import checkpoint
from models.architectures.registry import architecture
from models.preprocessing import InputSpec
from pathlib import Path
import torch

torch.manual_seed(0)
spec = InputSpec(channels=1, height=8, width=8)
network = architecture("toy").build(2)
checkpoint.publish(
    Path("repository"), network, name="doll", architecture="toy", labels=("car", "doll"), input=spec
)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the toys in it."""
    copy = tmp_path_factory.mktemp("project")
    unwanted = shutil.ignore_patterns("__pycache__", "checkpoints")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=unwanted)
    shutil.copy(ROOT / "README.md", copy)
    (copy / "tests").mkdir()  # one table of the docs is of networks that the tests hold
    shutil.copy(ROOT / "tests" / "tutorial_networks.py", copy / "tests")
    for file, text in NEW.items():
        lines = text.strip("\n").split("\n")
        (copy / file).write_text("\n".join(line.removeprefix("        ") for line in lines))
    for file, changes in CHANGED.items():
        text = (copy / file).read_text()
        for old, new in changes:
            assert text.count(old) == 1, f"{file}: {old}"
            text = text.replace(old, new)
        (copy / file).write_text(text)
    run(copy, "-c", PUBLISH)
    return copy


def run(project: Path, *arguments: str) -> str:
    """The output of Python in the copy."""
    environment = {**os.environ, "PYTHONPATH": str(project), "COLUMNS": "200"}
    command = [sys.executable, *arguments]
    ended = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def server(project: Path) -> Iterator[Server]:
    flags = ["--repository", "repository", "--runtime", "toy", "--toy-limit", "4"]
    with running(project / "log", *flags, cwd=project) as server:
        yield server


@pytest.fixture(scope="module")
def document(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{server.url}/openapi.json").json()
    return found


@pytest.fixture(scope="module")
def described(server: Server) -> dict[str, Any]:
    """`GET /v1/models/{model}`."""
    found: dict[str, Any] = httpx.get(f"{server.url}/v1/models/doll").json()
    return found


def parameters(document: dict[str, Any], path: str, method: str) -> dict[str, Any]:
    """The JSON Schema of each query parameter of an operation."""
    listed = document["paths"][path][method]["parameters"]
    return {each["name"]: each["schema"] for each in listed if each["in"] == "query"}


def encoded(format: str) -> bytes:
    buffer = BytesIO()
    Image.linear_gradient("L").resize((8, 8)).save(buffer, format)
    return buffer.getvalue()


def ask(
    server: Server, path: str, format: str = "png", status: int = 200, **parameters: Any
) -> Any:
    type = {"png": "image/png", "pcx": "image/vnd.zbrush.pcx"}[format]
    answer = httpx.post(
        f"{server.url}/v1/models/doll/{path}",
        content=encoded(format),
        headers={"Content-Type": type},
        params=parameters,
    )
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.mark.thorough
def test_the_tables_of_the_docs_have_all_of_them(project: Path) -> None:
    run(project, "-m", "docs.tables")
    page = (project / "docs" / "kinds.md").read_text()
    for row in (
        "| `toy` | A toy of some units. |",
        "| `toy` | A toy that asks torch. | float32 on the CPU |",
        "| `toy` | The same number everywhere. | `toys` |",
        "| `toy-pcx` | Pictures of toys. | `image/vnd.zbrush.pcx` | `.pcx` |",
        "| `toyland` | Pictures of toys. | 1×8×8 |",
    ):
        assert row in page


@pytest.mark.thorough
def test_the_help_has_those_that_are_chosen_there(project: Path) -> None:
    service = run(project, "-m", "service", "--help")
    assert "--toy-limit" in service
    assert "toys at once" in service
    assert "toy: A toy that asks torch" in " ".join(service.split())
    for what in ("picture", "features"):
        help = run(project, "-m", "training", "visualize", what, "--help")
        assert "toy-pcx (.pcx)" in " ".join(help.split())
    assert "toyland" in run(project, "-m", "training", "fit", "mnist", "--help")
    assert "toy" in run(project, "-m", "training", "import", "--help")


def test_an_image_format(
    server: Server, document: dict[str, Any], described: dict[str, Any]
) -> None:
    assert "image/vnd.zbrush.pcx" in described["media_types"]
    body = document["paths"]["/v1/models/{model}/predict"]["post"]["requestBody"]
    assert "image/vnd.zbrush.pcx" in body["content"]
    assert "image/vnd.zbrush.pcx" in body["description"]
    one, other = ask(server, "predict", "png"), ask(server, "predict", "pcx")
    assert one["predictions"] == other["predictions"]


def test_a_runtime(document: dict[str, Any], described: dict[str, Any]) -> None:
    assert [each["runtime"] for each in described["versions"]] == ["toy"]
    state = document["components"]["schemas"]["VersionState"]
    assert "toy" in state["properties"]["runtime"]["description"]


def test_an_explain_method(
    server: Server, document: dict[str, Any], described: dict[str, Any]
) -> None:
    offered = {each["name"]: each for each in described["explain_methods"]}
    assert offered["toy"]["title"] == "A toy"
    assert offered["toy"]["parameters"]["toys"]["maximum"] == 7
    schema = parameters(document, "/v1/models/{model}/explain", "post")
    assert "toy" in schema["method"]["enum"]
    assert "toy: The same number everywhere" in schema["method"]["description"]
    assert schema["toys"]["maximum"] == 7
    [explained] = ask(server, "explain", method="toy", toys=5, child="Ada")["explanations"]
    assert explained["max"] == 5
    refused = ask(server, "explain", status=422, method="toy", toys=5)
    assert refused["detail"].endswith("child is missing; toy needs it: who plays")


def test_an_architecture(described: dict[str, Any]) -> None:
    assert described["architecture"]["name"] == "toy"
    assert described["architecture"]["description"] == "A toy of some units."
    assert described["architecture"]["parameters"]["toys"]["default"] == 4


def test_an_endpoint_and_a_setting(server: Server, document: dict[str, Any]) -> None:
    assert parameters(document, "/v1/toys", "get")["most"]["maximum"] == 9
    assert httpx.get(f"{server.url}/v1/toys?most=9").json() == {"toys": 4}
    refused = httpx.get(f"{server.url}/v1/toys?moast=9")
    assert refused.status_code == 422
    assert "did you mean 'most'" in refused.json()["detail"]


def test_a_field_of_predictions_that_every_way_answers(
    server: Server, document: dict[str, Any]
) -> None:
    schema = document["components"]["schemas"]["Predictions"]["properties"]
    assert schema["toys"]["type"] == "integer"
    assert ask(server, "predict")["toys"] == 1  # the fast path
    quoted = f"{server.url}/v1/models/d%6Fll/predict"  # which the fast path leaves to the route
    answer = httpx.post(quoted, content=encoded("png"), headers={"Content-Type": "image/png"})
    assert answer.json()["toys"] == 1
    figures = httpx.get(f"{server.url}/metrics").text
    ways = [line for line in figures.splitlines() if line.startswith("fanlight_predict_requests")]
    assert {line.partition('way="')[2].partition('"')[0] for line in ways} >= {
        "fast_path",
        "application",
    }
