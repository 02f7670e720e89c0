"""The repository of the service: what is there, in which state, and why."""

import gc
import hashlib
import json
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient

from models import checkpoint
from models.checkpoint import Card, Checkpoint
from service.inference.engine import Engine
from tests.networks import LABELS, publish_tiny
from tests.service.conftest import Serve
from tests.training.commands.test_evaluate import record


def test_models_are_listed_with_their_versions(client: TestClient) -> None:
    versions = [{"version": n, "state": "ready", "runtime": "onnx"} for n in (1, 2)]
    assert client.get("/v1/models").json() == {"models": [{"name": "colors", "versions": versions}]}


def test_a_model_is_described_by_its_card_and_layers(client: TestClient, repository: Path) -> None:
    answer = client.get("/v1/models/colors").json()
    assert (answer["model"], answer["version"]) == ("colors", 2)
    card = (repository / "colors" / "2" / "card.json").read_text()
    assert Card.model_validate(answer["card"]) == Card.model_validate_json(card)
    assert answer["card"]["labels"] == list(LABELS)
    names = ("name", "type", "input_shape", "output_shape", "parameters", "multiply_adds")
    assert [tuple(layer[name] for name in names) for layer in answer["layers"]] == [
        ("conv", "Conv2d", [3, 8, 8], [4, 8, 8], 112, 6912),
        ("relu", "ReLU", [4, 8, 8], [4, 8, 8], 0, 0),
        ("pool", "AdaptiveAvgPool2d", [4, 8, 8], [4, 1, 1], 0, 0),
        ("fc", "Linear", [4], [3], 15, 12),
    ]
    assert answer["layers"][0]["arguments"]["kernel_size"] == [3, 3]
    can = [
        [layer[name] for name in ("features", "kernels", "grad_cam")] for layer in answer["layers"]
    ]
    assert can == [
        [True, True, True],
        [True, False, True],
        [True, False, False],
        [True, True, False],
    ]
    assert client.get("/v1/models/colors", params={"version": 1}).json()["version"] == 1


@pytest.mark.slow
def test_no_client_sees_the_folders_of_whoever_trained_it(
    serve: Serve, repository: Path, tmp_path: Path
) -> None:
    trained = record(tmp_path / "anna" / "holiday", 0)
    recipe: dict[str, Any] = {
        "dataset": trained.dataset,
        "strangers": f"patterns + {tmp_path / 'berta' / 'walls'}",
        "architecture": "torchvision/resnet18",
        "pretrained": r"C:\Users\anna\weights.pt",
    }
    publish_tiny(repository, "taken", training=trained.model_copy(update={"recipe": recipe}))
    answer = serve().get("/v1/models/taken")
    assert str(tmp_path) not in answer.text
    told = answer.json()["card"]["training"]
    assert told["dataset"] == "holiday"
    assert told["recipe"]["strangers"] == "patterns + walls"
    assert told["recipe"]["pretrained"] == "weights.pt"
    assert told["recipe"]["architecture"] == "torchvision/resnet18"
    assert "as of the data set holiday" in answer.json()["reliance"]["expects"]


@pytest.mark.slow
def test_one_broken_version_stops_no_other(serve: Serve, repository: Path) -> None:
    publish_tiny(repository, "shapes")
    card = repository / "shapes" / "1" / "card.json"
    card.write_text(card.read_text().replace('"tiny"', '"gigantic"'))
    client = serve()
    shapes = client.get("/v1/models").json()["models"][1]
    assert shapes["name"] == "shapes"
    [version] = shapes["versions"]
    assert version["state"] == "failed"
    assert "no architecture 'gigantic'" in version["reason"]
    assert client.get("/v1/models/colors").status_code == 200
    assert client.get("/health/ready").status_code == 503


@pytest.mark.slow
def test_drafts_and_strangers_are_not_models(serve: Serve, repository: Path) -> None:
    (repository / "colors" / ".draft-x").mkdir()
    (repository / "colors" / "latest").mkdir()
    (repository / "Not A Model" / "1").mkdir(parents=True)
    (repository / "empty").mkdir()
    (repository / "README.md").touch()
    models = serve().get("/v1/models").json()["models"]
    assert [(model["name"], len(model["versions"])) for model in models] == [("colors", 2)]


@pytest.mark.slow
def test_weights_that_are_not_numbers_are_refused(serve: Serve, repository: Path) -> None:
    """A network that answers with nan must not be chosen over a version that works."""
    folder = repository / "colors" / "2"
    state_dict = torch.load(folder / "weights.pt", weights_only=True)
    state_dict["fc.bias"].fill_(torch.nan)
    torch.save(state_dict, folder / "weights.pt")
    card = json.loads((folder / "card.json").read_text())
    card["weights_sha256"] = hashlib.sha256((folder / "weights.pt").read_bytes()).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))
    [model] = serve().get("/v1/models").json()["models"]
    assert [version["state"] for version in model["versions"]] == ["ready", "failed"]
    assert "not a finite number" in model["versions"][1]["reason"]


@pytest.mark.slow
def test_a_version_that_fails_to_warm_gives_its_network_back(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks: list[weakref.ref[torch.nn.Module]] = []
    load = checkpoint.load

    def recorded(*arguments: Any) -> Checkpoint:
        loaded = load(*arguments)
        networks.append(weakref.ref(loaded.network))
        return loaded

    async def exhausted(_engine: Engine) -> None:
        raise torch.OutOfMemoryError("the device is full")

    monkeypatch.setattr(checkpoint, "load", recorded)
    monkeypatch.setattr(Engine, "warm", exhausted)
    [model] = serve().get("/v1/models").json()["models"]
    assert [version["reason"] for version in model["versions"]] == ["the device is full"] * 2
    gc.collect()
    assert [network() for network in networks] == [None, None]


@pytest.mark.slow
@pytest.mark.parametrize("field", ["labels", "input", "weights_sha256"])
def test_an_incomplete_card_is_told(serve: Serve, repository: Path, field: str) -> None:
    path = repository / "colors" / "2" / "card.json"
    card = json.loads(path.read_text())
    del card[field]
    path.write_text(json.dumps(card))
    [model] = serve().get("/v1/models").json()["models"]
    assert model["versions"][1]["reason"] == f"card.json: {field}: is missing"
