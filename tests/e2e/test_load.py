"""Mixed requests from 64 connections: no 5xx, and every good one gets its own answer."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.e2e.servers import Server, running
from tests.networks import DATA, encode, picture
from tests.service.test_errors import huge_png

CONNECTIONS = 64
PNG = {"Content-Type": "image/png"}

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("load") / "log", "--log-level", "warning") as server:
        yield server


def good() -> list[tuple[str, bytes]]:
    """Models and pictures: the samples, and noise of several sizes."""
    files = sorted(DATA.glob("*/*.png"))
    models = {"digits": "mnist"}
    samples = [(models.get(f.parent.name, f.parent.name), f.read_bytes()) for f in files]
    noise = [
        (model, encode(picture(seed, size=(20 + seed, 50 - seed))))
        for seed in range(10)
        for model in ("mnist", "fashion-mnist", "birds-vs-planes")
    ]
    return samples + noise


def bad(chance: random.Random) -> tuple[int, dict[str, Any]]:
    """The status to expect, and what to send; the model is mnist."""
    image = encode(picture(chance.randrange(100)))
    part = ("a.png", image, "image/png")
    kinds: list[tuple[int, dict[str, Any]]] = [
        (422, {"content": image[: chance.randrange(9, 100)], "headers": PNG}),
        (422, {"files": {"images": ("a.png", image[:60], "image/png")}}),
        (422, {"files": {"images": ("a.png", b"", "image/png")}}),
        (422, {"files": {"picture": part}}),
        (422, {"files": {"images": part}, "params": {"top_k": "0"}}),
        (422, {"files": [("images", part), ("images", ("b.jpg", b"no JPEG", "image/jpeg"))]}),
        (413, {"content": huge_png(), "headers": PNG}),
        (413, {"files": [("images", part)] * 129}),
        (415, {"content": b"no image", "headers": {"Content-Type": "text/plain"}}),
        (400, {"content": b"no JSON", "headers": {"Content-Type": "application/json"}}),
        (415, {"files": {"images": ("a.txt", chance.randbytes(50), "text/plain")}}),
        (
            400,
            {"content": image, "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        ),
    ]
    return chance.choice(kinds)


@pytest.mark.parametrize("requests", [200, pytest.param(6_000, marks=pytest.mark.thorough)])
async def test_mixed_load(requests: int, server: Server) -> None:
    pictures = good()
    limits = httpx.Limits(max_connections=CONNECTIONS)
    async with httpx.AsyncClient(base_url=server.url, limits=limits, timeout=60) as client:

        async def classify(model: str, images: list[bytes]) -> list[dict[str, Any]]:
            parts = [("images", ("a.png", image, "image/png")) for image in images]
            url = f"/v1/models/{model}/predict?top_k=10"  # all classes
            answer = await client.post(url, files=parts)
            assert answer.status_code == 200, answer.text
            predictions: list[dict[str, Any]] = answer.json()["predictions"]
            return predictions

        alone = {pair: (await classify(pair[0], [pair[1]]))[0] for pair in pictures}

        async def ask(number: int) -> str:
            chance = random.Random(number)
            if chance.random() < 0.3:
                status, request = bad(chance)
                answer = await client.post("/v1/models/mnist/predict", **request)
                assert answer.status_code == status, (request, answer.text)
                return str(status)
            model = chance.choice(pictures)[0]
            chosen = chance.choices([p for p in pictures if p[0] == model], k=chance.randint(1, 4))
            for pair, prediction in zip(
                chosen, await classify(model, [image for _, image in chosen]), strict=True
            ):
                assert same(prediction, alone[pair])
            return "200"

        async def connection(numbers: Iterator[int]) -> list[str]:
            return [await ask(number) for number in numbers]

        numbers = iter(range(requests))
        outcomes = await asyncio.gather(*(connection(numbers) for _ in range(CONNECTIONS)))
    counts = Counter(outcome for each in outcomes for outcome in each)
    assert counts.total() == requests
    assert set(counts) == {"200", "400", "413", "415", "422"}
    assert counts["200"] > requests / 2


async def test_clients_that_leave_harm_nobody(server: Server, tmp_path: Path) -> None:
    """Half of the clients hang up in the middle of their request or before its answer."""
    host, port = server.url.removeprefix("http://").split(":")
    image = (DATA / "digits" / "7.png").read_bytes()
    head = f"POST /v1/models/mnist/predict HTTP/1.1\r\nHost: {host}\r\nContent-Type: image/png\r\n"
    request = f"{head}Content-Length: {len(image)}\r\n\r\n".encode() + image

    async def visit(number: int) -> None:
        chance = random.Random(number)
        reader, writer = await asyncio.open_connection(host, int(port))
        leaves = chance.random() < 0.5
        writer.write(request[: chance.randrange(1, len(request) + 1)] if leaves else request)
        await writer.drain()
        if not leaves:
            assert b" 200 " in await reader.readline()
        writer.close()

    for start in range(0, 1000, 50):
        await asyncio.gather(*(visit(number) for number in range(start, start + 50)))
    assert httpx.get(f"{server.url}/health/ready").status_code == 200
    assert "error" not in server.log.read_text()


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Equal but for rounding, which differs with the size of a batch."""
    scores = [{each["label"]: each["score"] for each in p["top"]} for p in (a, b)]
    return (
        a["label"] == b["label"]
        and scores[0].keys() == scores[1].keys()
        and all(abs(score - scores[1][label]) < 1e-5 for label, score in scores[0].items())
    )
