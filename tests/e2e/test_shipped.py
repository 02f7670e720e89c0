"""The main job: `python -m service` with the shipped checkpoints, answering for real pictures."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import httpx2 as httpx
import pytest
import torch

from models import checkpoint
from models.checkpoint import read_card
from service.settings import SHIPPED
from tests.e2e.servers import Server, running
from tests.networks import DATA
from training.data import datasets, drawing
from training.fitting import predicting

SAMPLES = [
    *(("mnist", file, file.stem) for file in sorted((DATA / "digits").glob("*.png"))),
    *(("birds-vs-planes", file, file.stem.split("-")[0])
      for file in sorted((DATA / "birds-vs-planes").glob("*.png"))),
]  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("shipped") / "log") as server:
        yield server


def predict(server: Server, model: str, *files: Path) -> list[str]:
    parts = [("images", (file.name, file.read_bytes(), "image/png")) for file in files]
    answer = httpx.post(f"{server.url}/v1/models/{model}/predict", files=parts)
    assert answer.status_code == 200, answer.text
    return [prediction["label"] for prediction in answer.json()["predictions"]]


@pytest.mark.parametrize(("model", "file", "label"), SAMPLES, ids=lambda value: str(value)[-20:])
def test_a_picture_gets_its_class(server: Server, model: str, file: Path, label: str) -> None:
    assert predict(server, model, file) == [label]


def test_clothes_are_recognised(server: Server) -> None:
    files = sorted((DATA / "fashion-mnist").glob("*.png"))
    labels = predict(server, "fashion-mnist", *files)
    names = [label.lower().replace("/top", "").replace(" ", "-") for label in labels]
    right = sum(name == file.stem for name, file in zip(names, files, strict=True))
    assert len(files) == 10
    assert right >= 9


@pytest.mark.parametrize("kind", ["original", "by-hand"])
def test_crosses_and_circles(
    server: Server, kind: Literal["original", "by-hand"], tmp_path: Path
) -> None:
    images, targets = drawing.draw(kind, 60, seed=99)  # a seed that no training has seen
    files = [tmp_path / f"{number}.png" for number in range(len(images))]
    for image, file in zip(images, files, strict=True):
        image.save(file)
    labels = predict(server, "xo", *files)
    assert labels == [drawing.LABELS[target] for target in targets]


def test_what_is_shipped() -> None:
    assert checkpoint.names(SHIPPED) == [
        *("birds-vs-planes", "birds-vs-planes-batchnorm", "fashion-mnist"),
        *("mnist", "mnist-cnn", "xo"),
    ]
    weights = [file.stat().st_size for file in SHIPPED.rglob("weights.pt")]
    assert max(weights) < 5 * 2**20
    assert sum(weights) < 20 * 2**20


@pytest.mark.parametrize("name", checkpoint.names(SHIPPED))
def test_the_cards_tell_how_they_were_made(name: str) -> None:
    folder = checkpoint.find(SHIPPED, name)
    card = read_card(folder)
    assert card.training is not None
    assert card.training.recipe["name"] == name
    assert len(card.training.commit) == 40  # not -dirty, not unknown
    assert card.metrics["test_accuracy"] > 0.85


TAKE_LONG = ("xo", "fashion-mnist", "mnist", "birds-vs-planes")
CARDS = [
    pytest.param(name, marks=pytest.mark.thorough if name in TAKE_LONG else ())
    for name in checkpoint.names(SHIPPED)
]


@pytest.mark.data
@pytest.mark.parametrize("name", CARDS)
def test_the_cards_tell_the_truth(name: str, data_root: Path) -> None:
    loaded = checkpoint.load(checkpoint.find(SHIPPED, name), torch.device("cpu"))
    assert loaded.card.training is not None
    test = datasets.load(loaded.card.training.dataset, "test", data_root, loaded.card.input)
    found = predicting.evaluate(loaded.network, test.relabel(loaded.card.labels), loaded.card.input)
    assert found.accuracy == pytest.approx(loaded.card.metrics["test_accuracy"], abs=0.002)
    assert found.loss == pytest.approx(loaded.card.metrics["test_loss"], abs=0.001)


@pytest.mark.thorough
def test_two_workers_answer_and_end(tmp_path: Path) -> None:
    with running(tmp_path / "log", "--workers", "2") as server:
        for _ in range(20):
            assert predict(server, "mnist", DATA / "digits" / "7.png") == ["7"]
        assert server.stop() == 0


def test_a_server_ends_when_told(tmp_path: Path) -> None:
    with running(tmp_path / "log", "--log-format", "json") as server:
        predict(server, "mnist", DATA / "digits" / "7.png")
        assert server.stop() == 0
        events = [json.loads(line)["event"] for line in server.log.read_text().splitlines()]
    assert "request" in events
    assert "Finished server process" in events[-1]
