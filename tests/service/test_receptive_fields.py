"""`receptive_fields` tells how much of the image each layer sees."""

from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from torch import nn

from models import checkpoint
from models.architectures import registry
from models.structure import receptive_field
from service.repository import loading
from tests.networks import encode, picture, publish_tiny
from tests.service.conftest import Serve
from tests.service.test_errors import problem
from tests.service.test_predict import parts

pytestmark = pytest.mark.slow


def ask(client: TestClient, model: str, **params: Any) -> Any:
    return client.get(f"/v1/models/{model}/receptive-fields", params=params)


def test_a_small_network_by_hand(client: TestClient) -> None:
    """A 3×3 kernel on 8×8 pixels, and a pooling over all of them."""
    answer = ask(client, "colors").json()
    assert answer["model"] == "colors"
    assert answer["version"] == 2
    assert answer["layers"] == [
        {"layer": "conv", "height": 3, "width": 3, "level": "middle"},
        {"layer": "relu", "height": 3, "width": 3, "level": "middle"},
        {"layer": "pool", "height": 8, "width": 8, "level": "high"},
        {"layer": "fc", "height": 8, "width": 8, "level": "high"},
    ]
    assert "note" not in answer


@pytest.mark.parametrize("name", ["lenet", "resnet", "xo"])
def test_layers_and_blocks_as_visualize_measures_them(
    serve: Serve, repository: Path, name: str
) -> None:
    known = registry.architecture(name)
    labels = "abcdefghij"
    checkpoint.publish(
        repository, known.build(10), name=name, architecture=name, arguments={}, labels=labels,
        input=known.input_for({}),
    )  # fmt: skip
    client = serve()
    told = {each["layer"]: each for each in ask(client, name).json()["layers"]}
    loaded = checkpoint.load(repository / name / "1", torch.device("cpu"))
    outputs = (*loaded.structure.layers, *loaded.structure.blocks)
    expected = receptive_field.measure(loaded.network, loaded.card.input.shape, outputs)
    assert list(told) == list(expected)
    for layer, field in expected.items():
        assert (told[layer]["height"], told[layer]["width"]) == (field.height, field.width)
        assert told[layer]["level"] == field.level
    names = {each["name"] for each in client.get(f"/v1/models/{name}").json()["layers"]}
    assert names <= told.keys()


def test_they_are_measured_once_for_a_version(
    serve: Serve, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_tiny(repository, seed=5)
    measured = []

    class Counting:
        @staticmethod
        def measure(*arguments: Any) -> Any:
            measured.append(arguments)
            return receptive_field.measure(*arguments)

    monkeypatch.setattr(loading, "receptive_field", Counting)
    client = serve()
    serving = client.app.state.repository.get("colors", None)  # type: ignore[attr-defined]
    first = ask(client, "colors").json()
    assert ask(client, "colors").json() == first
    assert len(measured) == 1
    assert measured[0][0] is serving.explainer.network  # whose hooks no prediction meets
    assert measured[0][0] is not serving.checkpoint.network
    assert ask(client, "colors", version=1).json()["version"] == 1
    assert len(measured) == 2


def test_features_during_it_are_those_of_their_images(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, inside, over = serve(), Event(), Event()

    class Held:
        """Ends its pass only when it may, so that features run between."""

        @staticmethod
        def measure(network: nn.Module, *arguments: Any) -> Any:
            def wait(*_: Any) -> None:
                inside.set()
                assert over.wait(30)

            handle = network.get_submodule("relu").register_forward_hook(wait)
            try:
                return receptive_field.measure(network, *arguments)
            finally:
                handle.remove()

    monkeypatch.setattr(loading, "receptive_field", Held)
    files = parts(*[encode(picture(seed)) for seed in range(3)])
    asked: dict[str, Any] = {"layer": ["conv", "relu", "penultimate"], "values": True}
    expected = client.post("/v1/models/colors/features", files=files, params=asked).json()
    found: list[Any] = []
    asking = Thread(target=lambda: found.extend(ask(client, "colors").json()["layers"]))
    asking.start()
    assert inside.wait(30)
    answer = client.post("/v1/models/colors/features", files=files, params=asked).json()
    over.set()
    asking.join()
    assert answer == expected
    assert len(found) == 4


def test_what_fails_for_want_of_memory_is_tried_again(serve: Serve) -> None:
    client = serve(raise_server_exceptions=False)
    network = client.app.state.repository.get("colors", None).explainer.network  # type: ignore[attr-defined]
    message = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."

    def full(*_: Any) -> None:
        raise RuntimeError(message)

    with network.get_submodule("conv").register_forward_pre_hook(full):
        assert "not enough memory" in problem(ask(client, "colors"), 503)["detail"]
    assert len(ask(client, "colors").json()["layers"]) == 4


@pytest.mark.parametrize(
    ("model", "params", "status", "words"),
    [
        ("none", {}, 404, "none"),
        ("colors", {"version": 9}, 404, "9"),
        ("colors", {"version": 0}, 422, "version"),
        ("colors", {"layer": "conv"}, 422, "layer"),
    ],
)
def test_what_is_not_there(
    client: TestClient, model: str, params: dict[str, Any], status: int, words: str
) -> None:
    assert words in str(problem(ask(client, model, **params), status))
