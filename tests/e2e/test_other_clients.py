"""KServe's client and perf_analyzer, unmodified, speak to a service as they do to others.

Both want older packages than Fanlight, so they live in environments of their own:

    python -m venv kserve && kserve/bin/pip install kserve==0.21.0
    python -m venv perf && perf/bin/pip install tritonclient==2.48.0 nvidia-cuda-runtime-cu12
    apt-get install libb64-0d

The variables KSERVE_PYTHON and PERF_PYTHON name their interpreters.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.e2e.servers import Server, running
from tests.networks import DATA

pytestmark = pytest.mark.thorough
KSERVE = os.environ.get("KSERVE_PYTHON", "")
PERF = os.environ.get("PERF_PYTHON", "")
MODEL = "mnist-cnn"
FILES = [DATA / "digits" / f"{digit}.png" for digit in (7, 3)]
ASK = """
import asyncio, json, sys
from pathlib import Path
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

async def main(url, model, *files):
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    ready = [await client.is_server_ready(url), await client.is_model_ready(url, model)]
    image = InferInput("image", [len(files)], "BYTES")
    image.set_data_from_numpy(np.array([Path(each).read_bytes() for each in files], object))
    found = await client.infer(url, InferRequest(model, [image]), model_name=model)
    outputs = {each.name: each.as_numpy().tolist() for each in found.outputs}
    print(json.dumps({"ready": ready, **outputs}))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("clients") / "log"
    with running(log, "--log-level", "warning") as server:
        yield server


@pytest.mark.skipif(not KSERVE, reason="KSERVE_PYTHON names no Python that has KServe's SDK")
def test_kserve(server: Server) -> None:
    command = [KSERVE, "-c", ASK, server.url, MODEL, *map(str, FILES)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ready"] == [True, True]
    assert found["label"] == ["7", "3"]
    parts = [("images", file.read_bytes()) for file in FILES]
    url = f"{server.url}/v1/models/{MODEL}/predict"
    answer = httpx.post(url, files=parts, params={"top_k": 10}).json()
    for own, each in zip(found["probabilities"], answer["predictions"], strict=True):
        scores = {one["label"]: one["score"] for one in each["top"]}
        assert own == pytest.approx([scores[str(digit)] for digit in range(10)], abs=1e-6)


@pytest.mark.skipif(not PERF, reason="PERF_PYTHON names no Python that has tritonclient 2.48")
def test_perf_analyzer(server: Server, tmp_path: Path) -> None:
    values = tmp_path / "values.json"
    image = {"content": [128] * 784, "shape": [1, 28, 28]}
    values.write_text(json.dumps({"data": [{"input": image}]}))
    libraries = Path(PERF).parent.parent.glob("lib/*/site-packages/nvidia/cuda_runtime/lib")
    done = subprocess.run(
        [
            Path(PERF).parent / "perf_analyzer",
            *("-m", MODEL, "-u", f"127.0.0.1:{server.port}", "--input-data", values),
            *("--concurrency-range", "2", "--measurement-mode", "count_windows"),
            *("--measurement-request-count", "50", "--stability-percentage", "999"),
        ],
        env={**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, libraries))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    [rate] = re.findall(r"^Concurrency: 2, throughput: (\S+) infer/sec", done.stdout, re.MULTILINE)
    assert float(rate) > 0
