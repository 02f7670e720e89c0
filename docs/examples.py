"""The examples of the OpenAPI document, asked of a service with the models that Fanlight ships.

python -m docs.examples  →  service/responses/examples.json
"""

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2 as httpx
from fastapi.testclient import TestClient
from httpx2 import Response

from service.app import create_app
from service.responses.examples import FILE, LAYER, MODEL
from service.settings import SHIPPED, Settings

ROOT = Path(__file__).parents[1]
IMAGE = ROOT / "tests" / "data" / "digits" / "7.png"
SHORT = 3  # numbers and lists of a long list that are shown
_LISTS = ("values", "bias", "layers", "blocks", "explain_methods", "media_types")
_PATHS = {
    "live": "/health/live?",
    "ready": "/health/ready?",
    "metrics": "/metrics?",
    "list_models": "/v1/models?",
    "get_model": f"/v1/models/{MODEL}?",
    "receptive_fields": f"/v1/models/{MODEL}/receptive-fields?",
    "kernels": f"/v1/models/{MODEL}/kernels/{LAYER}?values=true",
}
_OF_IMAGES = {
    "predict": f"/v1/models/{MODEL}/predict?top_k=2",
    "features": f"/v1/models/{MODEL}/features?layer={LAYER}&values=true&top_k=2",
    "explain": f"/v1/models/{MODEL}/explain?method=saliency&top_k=2",
    "input": f"/v1/models/{MODEL}/input?",
}
_TOO_LARGE = f"/v1/models/{MODEL}/kernels/conv2.0?format=png&tile=512"
_PNG = {"Content-Type": "image/png"}
_NO_BOUNDARY = {"Content-Type": "multipart/form-data"}
_METRICS = "fanlight_batch_images"  # the figures of /metrics that are shown
_KEY = {"api_key": "a-key-of-the-service", "metrics_access": "key"}
Asked = dict[str, Response]  # by the name of the operation


@contextmanager
def service(**settings: Any) -> Iterator[TestClient]:
    """One with the shipped models."""
    usual: dict[str, Any] = {"repository": (SHIPPED,), "device": "cpu", "watch_interval": 0}
    app = create_app(Settings(**(usual | settings)))
    with TestClient(app) as client:
        assert client.portal is not None  # noqa: S101 (it runs)
        client.portal.call(app.state.repository.loaded)
        yield client


def found() -> dict[str, Any]:
    """An answer of each operation by its name, with long lists cut short; under `problems` one of
    each status by the operation, as far as the OpenAPI document says that it can give it."""
    with service() as client:
        answers = _ask(client)
        documented = {
            operation["operationId"]: operation["responses"]
            for methods in client.get("/openapi.json").json()["paths"].values()
            for operation in methods.values()
        }
    told: dict[str, Any] = {name: _shown(answer) for name, answer in answers.items()}
    problems: dict[str, dict[str, Any]] = {name: {} for name in sorted(answers)}
    for asked in _refused():
        for name, answer in asked.items():
            if answer.is_error and (status := str(answer.status_code)) in documented[name]:
                problems[name][status] = answer.json()
    return told | {"problems": {name: dict(sorted(of.items())) for name, of in problems.items()}}


def _ask(client: TestClient, more: str = "", model: str = MODEL) -> Asked:
    """Send a request to every operation, with `more` at the end of its URL; return the answers."""
    paths = {name: f"{path}{more}".replace(MODEL, model) for name, path in _PATHS.items()}
    return _send(client, model, more, content=IMAGE.read_bytes(), headers=_PNG) | {
        name: client.get(path) for name, path in paths.items()
    }


def _send(client: TestClient, model: str = MODEL, more: str = "", **body: Any) -> Asked:
    """POST the same body to each operation that takes images; return the answers by operation."""
    return {
        name: client.post(f"{path}{more}".replace(MODEL, model), **body)
        for name, path in _OF_IMAGES.items()
    }


def _refused() -> Iterator[Asked]:
    """Send requests that are refused, and yield the answers.

    Of two errors of one operation with the same status, the later one becomes the example.
    """
    content = IMAGE.read_bytes()
    with TemporaryDirectory() as folder:
        shutil.copytree(SHIPPED / MODEL, Path(folder) / MODEL)
        small = partial(service, repository=(folder,))
        with small() as client:
            yield _ask(client, model="mnist-cn")
            yield _ask(client, "&topk=2")
            yield _send(client, content=b"--", headers=_NO_BOUNDARY)
            yield _send(client, files=[("images", ("7.png", content))] * 129)
            parts = [("images", ("7.png", content)), ("images", ("notes.txt", b"not an image"))]
            yield _send(client, files=parts)
            yield {"kernels": client.get(_TOO_LARGE)}
        with small(metrics_port=9100) as client:
            yield {"metrics": client.get("/metrics")}
        with small(**_KEY) as client:
            yield _ask(client)
        with small(**_KEY, rate_limit=0.001, rate_burst=1) as client:
            client.get("/v1/models")
            yield _ask(client)
        with small(request_timeout=0.0001) as client:
            yield _ask(client)
            assert client.portal is not None  # noqa: S101 (it runs)
            yield client.portal.call(_send_nothing, client.app)
        with small(api_key_file=Path(folder) / "keys.txt", metrics_access="key") as client:
            yield _ask(client)
        for weights in Path(folder).glob("*/*/weights.pt"):
            weights.write_bytes(b"of another model")
        with small() as client:
            yield _ask(client)


async def _send_nothing(app: Any) -> Asked:
    """Announce a body to each operation that takes images, and never send it."""

    async def body() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        return {
            name: await client.post(path, content=body(), headers=_PNG)
            for name, path in _OF_IMAGES.items()
        }


def _shown(answer: Response) -> Any:
    """What of an answer is the example."""
    if answer.headers["content-type"].startswith("text/plain"):
        lines = answer.text.splitlines(keepends=True)
        return "".join(line for line in lines if re.search(rf"\b{_METRICS}(_count|_sum)?\b", line))
    return short(answer.json())


def short(told: Any, name: str | None = None) -> Any:
    """Lists of values, and of layers, with their first few elements; numbers with six digits."""
    if isinstance(told, Mapping):
        return {key: short(value, key) for key, value in told.items()}
    if isinstance(told, list):
        nested = bool(told) and isinstance(told[0], list)
        cut = told[:SHORT] if name in _LISTS or nested else told
        return [short(each, name if name in _LISTS[:2] else None) for each in cut]
    return float(f"{told:.6g}") if isinstance(told, float) else told


def main() -> None:
    FILE.write_text(json.dumps(found(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
