"""Networks whose answers are not finite numbers: refused when loaded, or told to who asked."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from structlog.testing import capture_logs
from torch import Tensor, nn

from models import checkpoint
from models.architectures import registry
from models.architectures.registry import register
from models.checkpoint import CheckpointError
from tests.networks import LABELS, SPEC, encode, picture
from tests.service.conftest import Serve
from tests.service.connections import FORM, PREDICT, Serving, form
from tests.service.test_errors import problem
from tests.service.test_predict import parts

pytestmark = pytest.mark.slow

SHY = picture(4)
"""The image that `Shy` has no finite answer to; it isn't one of those tried at loading."""


class Shy(nn.Module):
    """Overflows for images of one mean level: 3×8×8 to logits."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(3 * 8 * 8, num_classes)
        self.level: Tensor
        self.register_buffer("level", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        near = (x.mean((1, 2, 3), keepdim=True) - self.level).abs() < 1e-6  # (N, 1, 1, 1)
        x = x + near * 1e30 * 1e30
        logits: Tensor = self.fc(x.flatten(1))
        return logits


@pytest.fixture
def shy(repository: Path) -> Iterator[Path]:
    """A repository with version 3 of `colors`."""
    with registry.ARCHITECTURES.restored():
        register("shy", SPEC, description="overflows")(lambda num_classes: Shy(num_classes))
        network = Shy(3)
        network.level.fill_(SPEC.normalize(SPEC.pixels(SHY)[None]).mean())
        checkpoint.publish(
            repository, network, name="colors", architecture="shy", labels=LABELS, input=SPEC
        )
        yield repository


GOOD, BAD = encode(picture(0)), encode(SHY)


@pytest.fixture
def client(serve: Serve, shy: Path) -> TestClient:
    return serve(watch_interval=0)


def test_the_images_are_named_and_nothing_is_a_500(client: TestClient) -> None:
    document = problem(client.post(PREDICT, files=parts(GOOD, BAD, GOOD, BAD)), 422)
    assert document["title"] == "No finite answer"
    assert [each["index"] for each in document["errors"]] == [1, 3]
    assert document["errors"][0]["filename"] == "1.png"
    assert "colors/3 gives no finite number for image 1, 3" in document["detail"]
    assert client.post(PREDICT, files=parts(GOOD)).json()["version"] == 3
    assert client.post(PREDICT, files=parts(BAD), params={"version": 2}).status_code == 200


@pytest.mark.parametrize("image", [GOOD, BAD])
def test_activations_and_explanations_say_the_same(client: TestClient, image: bytes) -> None:
    status = 200 if image == GOOD else 422
    for operation, asked in (("features", {"layer": "fc"}), ("explain", {"method": "saliency"})):
        url = f"/v1/models/colors/{operation}"
        answer = client.post(url, files=parts(GOOD, image), params=asked)
        assert answer.status_code == status, answer.text
        if status == 422:
            assert [each["index"] for each in problem(answer, 422)["errors"]] == [1]


def test_lines_end_with_the_problem(client: TestClient) -> None:
    """All images of a group are named."""
    answer = client.post(
        "/v1/models/colors/explain",
        files=parts(GOOD, BAD, GOOD, BAD),
        params={"method": "saliency"},
        headers={"Accept": "application/x-ndjson"},
    )
    assert answer.status_code == 200
    *told, last = map(json.loads, answer.text.splitlines())
    assert told[0] == {"done": 0, "of": 8}
    assert last["status"] == 422
    assert [each["index"] for each in last["errors"]] == [1, 3]


def test_the_version_is_marked(client: TestClient) -> None:
    with capture_logs() as logs:
        for _ in range(3):
            client.post(PREDICT, files=parts(BAD, GOOD))
        client.post("/v1/models/colors/explain", files=parts(BAD), params={"method": "saliency"})
    assert [line["event"] for line in logs].count("not finite") == 1
    [*_, version] = client.get("/v1/models").json()["models"][0]["versions"]
    assert "4 images got no finite answer" in version["warnings"][0]
    text = client.get("/metrics").text
    assert 'fanlight_not_finite_images_total{model="colors",version="3"} 4.0' in text


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.usefixtures("shy")
async def test_the_fast_path_says_the_same(serving: Serving) -> None:
    async with serving() as client:
        assert (await client.post(BAD)).status == 422
        assert (await client.post(GOOD)).status == 200
        answer = await client.post(form(GOOD, BAD), type=FORM)
        assert client.taken == [True] * 3
    assert [each["index"] for each in answer.told["errors"]] == [1]


def test_a_network_that_overflows_at_noise_is_neither_published_nor_loaded(
    repository: Path, serve: Serve
) -> None:
    state_dict = torch.load(repository / "colors" / "2" / "weights.pt", weights_only=True)
    network = registry.architecture("tiny").build(3)
    network.load_state_dict(state_dict)
    network.get_parameter("fc.weight").data.fill_(3e38)
    network.get_parameter("conv.weight").data.fill_(1.0)
    network.get_parameter("conv.bias").data.fill_(-26.0)  # 0 for a black image
    with pytest.raises(CheckpointError, match="white image with what is not a finite number"):
        checkpoint.publish(
            repository, network, name="colors", architecture="tiny", labels=LABELS, input=SPEC
        )


@pytest.mark.slow
def test_half_precision_is_tried_when_loading(serve: Serve, shy: Path, repository: Path) -> None:
    """Finite in float32, and not in the precision that is set."""
    network = registry.architecture("tiny").build(3)
    network.get_parameter("fc.weight").data.fill_(3e4)
    network.get_parameter("conv.weight").data.fill_(1.0)
    checkpoint.publish(
        repository, network, name="colors", architecture="tiny", labels=LABELS, input=SPEC
    )
    client = serve(watch_interval=0, runtime="torch")
    assert _last(client)["state"] == "ready"
    half = serve(watch_interval=0, runtime="torch", precision="float16")
    assert _last(half)["state"] == "failed"
    assert "as torch computes it; try another precision" in _last(half)["reason"]


def _last(client: TestClient) -> dict[str, Any]:
    version: dict[str, Any] = client.get("/v1/models").json()["models"][0]["versions"][-1]
    return version
