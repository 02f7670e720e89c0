"""The examples of the OpenAPI document, asked of a service with the models that Fanlight ships.

python -m docs.examples  →  service/responses/examples.json
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from service.app import create_app
from service.responses.examples import FILE, LAYER, MODEL
from service.settings import SHIPPED, Settings

ROOT = Path(__file__).parents[1]
IMAGE = ROOT / "tests" / "data" / "digits" / "7.png"
SHORT = 3  # numbers and lists of a long list that are shown
_LISTS = ("values", "bias", "layers", "blocks", "explain_methods", "media_types")
_PATHS = {
    "live": "/health/live",
    "ready": "/health/ready",
    "list_models": "/v1/models",
    "get_model": f"/v1/models/{MODEL}",
    "receptive_fields": f"/v1/models/{MODEL}/receptive-fields",
    "kernels": f"/v1/models/{MODEL}/kernels/{LAYER}?values=true",
}
_OF_IMAGES = {
    "predict": f"/v1/models/{MODEL}/predict?top_k=2",
    "features": f"/v1/models/{MODEL}/features?layer={LAYER}&values=true&top_k=2",
    "explain": f"/v1/models/{MODEL}/explain?method=saliency&top_k=2",
    "input": f"/v1/models/{MODEL}/input",
}


_PREDICT = _OF_IMAGES["predict"]
_PNG = {"Content-Type": "image/png"}


@contextmanager
def service(**settings: Any) -> Iterator[TestClient]:
    """One with the shipped models."""
    app = create_app(Settings(repository=(SHIPPED,), device="cpu", watch_interval=0, **settings))
    with TestClient(app) as client:
        assert client.portal is not None  # noqa: S101 (it runs)
        client.portal.call(app.state.repository.loaded)
        yield client


def found() -> dict[str, Any]:
    """An answer of each operation by its name, with long lists cut short; under `problems` one of
    each status, as far as they are quickly met."""
    content = IMAGE.read_bytes()
    with service() as client:
        answers = {name: client.get(path) for name, path in _PATHS.items()}
        for name, path in _OF_IMAGES.items():
            answers[name] = client.post(path, content=content, headers=_PNG)
        many = [("images", ("7.png", content))] * 129
        bad = [("images", ("7.png", content)), ("images", ("notes.txt", b"not an image"))]
        problems = [
            client.post(_PREDICT, content=b"--", headers={"Content-Type": "multipart/form-data"}),
            client.post(_PREDICT.replace(MODEL, "mnist-cn"), content=content, headers=_PNG),
            client.post(_PREDICT.replace("top_k", "topk"), content=content, headers=_PNG),
            client.post(_PREDICT, files=many),
            client.post(_PREDICT, files=bad),
        ]
    with service(api_key="a-key-of-the-service") as client:
        problems.append(client.post(_PREDICT, content=content, headers=_PNG))
    with service(rate_limit=0.001, rate_burst=1) as client:
        problems += [client.post(_PREDICT, content=content, headers=_PNG) for _ in range(2)][1:]
    told = {str(answer.status_code): answer.json() for answer in problems}
    return {name: short(answer.json()) for name, answer in answers.items()} | {"problems": told}


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
