"""A thousand mixed requests for predictions, activations, kernels and explanations leak nothing."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.e2e.servers import Server, running
from tests.networks import DATA

MODELS = {"mnist-cnn": ("conv1.0", "out"), "xo": ("stem", "fc"), "mnist": ("stem", "fc")}
EXPLAIN = ("grad-cam", "saliency", "integrated-gradients&steps=4", "occlusion&window=14&stride=14")
IMAGES = {"mnist-cnn": "digits/7.png", "xo": "digits/3.png", "mnist": "digits/3.png"}
PNG = {"Content-Type": "image/png"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("inside") / "log", "--log-level", "warning") as server:
        yield server


def request(client: httpx.Client, number: int) -> int:
    """A seeded request of any kind; a tenth are wrong. Returns its status."""
    chance = random.Random(number)
    model = chance.choice(list(MODELS))
    first, last = MODELS[model]
    root, image = f"/v1/models/{model}", (DATA / IMAGES[model]).read_bytes()
    form = chance.choice(["json", "npz", "png"])
    targets = [
        f"{root}/predict",
        f"{root}/features?layer={first}&format={form}",
        f"{root}/features?layer={last}&layer=penultimate&values=true",
        f"{root}/input",
        f"{root}/explain?method={chance.choice(EXPLAIN)}&format={form}",
        f"{root}/explain?method=grad-cam&layer={first}&target=0",
    ]
    wrong = [f"{root}/features?layer=no", f"{root}/explain?method=saliency&target=no"]
    if chance.random() < 0.1:
        return int(client.get(f"{root}/kernels/{first}?format={form}").status_code)
    target = chance.choice(wrong if chance.random() < 0.1 else targets)
    return int(client.post(target, content=image, headers=PNG).status_code)


def resident(server: Server) -> float:
    """Megabytes that the server's process holds."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the memory")
@pytest.mark.thorough
def test_memory_stays_flat(server: Server) -> None:
    held = []
    starting = server.log.read_text()  # a busy machine is slow to load, and says so
    with httpx.Client(base_url=server.url, timeout=60) as client, ThreadPoolExecutor(4) as pool:
        for start in range(0, 1250, 250):
            statuses = list(pool.map(lambda n: request(client, n), range(start, start + 250)))
            assert set(statuses) <= {200, 404, 422}
            held.append(resident(server))
    assert held[-1] - held[0] < 40, held  # the first 250 load captum and fill the allocator
    assert server.log.read_text() == starting
