"""The networks of the tutorials: saved by torch, imported, served, asked over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from torch import nn

from fanlight.command import main
from tests.networks import encode
from tests.service.conftest import starting
from tests.tutorial_networks import MODULE, TUTORIALS, Tutorial

pytestmark = pytest.mark.thorough  # forty imports

HEAVY = ("alexnet", "xo-no-pooling")  # 187 and 301 MB: imported as code only
WAYS = [
    pytest.param(each, name, id=name)
    for each in TUTORIALS
    for name in each.ways
    if not (each.name in HEAVY and name.endswith("-ours"))
]


def trained(tutorial: Tutorial) -> nn.Module:
    """With weights and statistics as if it had been trained."""
    with torch.random.fork_rng():
        torch.manual_seed(len(tutorial.name))
        network = tutorial.network()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
                nn.init.normal_(module.bias)
                nn.init.normal_(module.running_mean)
    return network.eval()


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    return {each.name: trained(each) for each in TUTORIALS}


@pytest.fixture(scope="module")
def repository(networks: dict[str, nn.Module], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them, each in the ways that it can be imported."""
    folder = tmp_path_factory.mktemp("tutorials")
    for parameters in WAYS:
        tutorial, name = parameters.values
        assert isinstance(tutorial, Tutorial)
        file = folder / f"{name}.pt"
        torch.save(networks[tutorial.name].state_dict(), file)
        options = [*tutorial.ways[str(name)], "--repository", str(folder / "models")]
        assert main(["import", str(file), *options]) == 0
        file.unlink()
    return folder / "models"


@pytest.fixture(scope="module")
def client(repository: Path) -> Iterator[TestClient]:
    """One service for all."""
    with starting(repository) as serve:
        yield serve(architectures=MODULE, runtime="torch")


def test_there_are_twenty_three() -> None:
    assert len({each.name for each in TUTORIALS}) == 23
    assert sum(len(each.ways) for each in TUTORIALS) == 46


@pytest.mark.parametrize(("tutorial", "name"), WAYS)
def test_probabilities_are_those_of_plain_torch(
    tutorial: Tutorial, name: str, networks: dict[str, nn.Module], client: TestClient
) -> None:
    channels, height, width = tutorial.input
    noise = np.random.default_rng(1).integers(0, 256, (4, height, width, channels), np.uint8)
    pixels = torch.from_numpy(noise.transpose(0, 3, 1, 2).copy()) / 255  # (4, C, H, W)
    if tutorial.half:
        pixels = (pixels - 0.5) / 0.5
    with torch.inference_mode():
        logits = networks[tutorial.name](pixels.flatten(1) if tutorial.is_flat else pixels)
    files = [
        ("images", (f"{n}.png", encode(Image.fromarray(each.squeeze())), "image/png"))
        for n, each in enumerate(noise)
    ]
    answer = client.post(f"/v1/models/{name}/predict?top_k=10", files=files)
    assert answer.status_code == 200, answer.text
    for expected, found in zip(logits.softmax(1), answer.json()["predictions"], strict=True):
        scores = {int(each["label"]): each["score"] for each in found["top"]}
        in_order = [scores[n] for n in range(len(expected))]
        assert in_order == pytest.approx(expected.tolist(), abs=1e-5)
