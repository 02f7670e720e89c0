"""tritonclient, unmodified, speaks to a service as it does to Triton."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.e2e.servers import Server, running
from tests.networks import DATA

pytestmark = pytest.mark.slow
MODEL = "mnist"
FILES = [(DATA / "digits" / f"{digit}.png").read_bytes() for digit in (7, 3)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("triton") / "log"
    with running(log, "--log-level", "warning") as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        yield client


@pytest.fixture(scope="module")
def scores(server: Server) -> list[dict[str, float]]:
    """By label, as /v1 tells them."""
    files = [("images", file) for file in FILES]
    answer = httpx.post(
        f"{server.url}/v1/models/{MODEL}/predict", files=files, params={"top_k": 10}
    )
    return [
        {each["label"]: each["score"] for each in one["top"]}
        for one in answer.json()["predictions"]
    ]


def images(kind: Any = triton) -> Any:
    tensor = kind.InferInput("image", [len(FILES)], "BYTES")
    return tensor.set_data_from_numpy(np.array(FILES, dtype=object))


def assert_right(result: Any, scores: list[dict[str, float]]) -> None:
    wanted = [[one[str(digit)] for digit in range(10)] for one in scores]
    np.testing.assert_allclose(result.as_numpy("probabilities"), wanted, atol=1e-6)
    assert [each.decode() for each in result.as_numpy("label")] == ["7", "3"]


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_images(
    client: triton.InferenceServerClient, scores: list[dict[str, float]], compression: str | None
) -> None:
    result = client.infer(
        MODEL,
        [images()],
        request_id="mine",
        model_version="1",
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
        priority=1,
        timeout=10_000_000,
    )
    assert result.get_response()["id"] == "mine"
    assert_right(result, scores)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("datatype", ["UINT8", "FP32"])
def test_tensors(client: triton.InferenceServerClient, datatype: str, binary: bool) -> None:
    [told] = [
        each for each in client.get_model_metadata(MODEL)["inputs"] if each["name"] == "input"
    ]
    shape = [2, *told["shape"][1:]]
    levels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    values = levels if datatype == "UINT8" else levels.astype(np.float32)
    tensor = triton.InferInput("input", shape, datatype)
    tensor.set_data_from_numpy(values, binary_data=binary)
    asked = [
        triton.InferRequestedOutput("probabilities", binary_data=binary, class_count=3),
        triton.InferRequestedOutput("logits", binary_data=not binary),
    ]
    result = client.infer(MODEL, [tensor], outputs=asked)
    assert result.as_numpy("probabilities").shape == (2, 3)
    logits = result.as_numpy("logits")
    for row, best in zip(logits, result.as_numpy("probabilities")[:, 0], strict=True):
        text = best.decode() if isinstance(best, bytes) else best
        assert int(text.split(":")[1]) == row.argmax()


def test_without_waiting(
    client: triton.InferenceServerClient, scores: list[dict[str, float]]
) -> None:
    waiting = [client.async_infer(MODEL, [images()]) for _ in range(4)]
    for each in waiting:
        assert_right(each.get_result(), scores)


def test_asyncio(server: Server, scores: list[dict[str, float]]) -> None:
    async def ask() -> list[Any]:
        async with triton_aio.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
            assert await client.is_server_ready()
            return await asyncio.gather(
                *(client.infer(MODEL, [images(triton_aio)]) for _ in range(4))
            )

    for result in asyncio.run(ask()):
        assert_right(result, scores)


def test_server_and_models(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.is_model_ready(MODEL, "1")
    assert not client.is_model_ready("nope")
    assert client.get_server_metadata()["name"] == "fanlight"
    assert client.get_model_config(MODEL)["name"] == MODEL
    assert MODEL in [each["name"] for each in client.get_model_repository_index()]
    client.infer(MODEL, [images()])
    [told] = client.get_inference_statistics(MODEL)["model_stats"]
    assert told["inference_count"] >= len(FILES)
    assert told["inference_stats"]["success"]["count"] >= 1


def test_errors_are_read(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match=r"no model 'nope'; there are: .*mnist"):
        client.infer("nope", [images()])
    with pytest.raises(InferenceServerException, match="the repository's folder decides"):
        client.load_model(MODEL)
    asked = [triton.InferRequestedOutput("lable")]
    with pytest.raises(InferenceServerException, match="did you mean 'label'"):
        client.infer(MODEL, [images()], outputs=asked)
