"""The service on a Ray cluster of two nodes, beside the service in one process.

Not each change, since the cluster takes half a minute to start.
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from models import checkpoint
from service.ray.cluster import SHORT
from service.settings import SHIPPED
from tests.e2e.servers import free_port, running
from tests.e2e.steady_load import SteadyLoad
from tests.networks import DATA, encode, picture
from tests.service.ray.two_nodes import GRACE_SECONDS
from tests.waiting import until, until_async

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="Ray brings HAProxy for Linux only"),
]
REPLICAS = 2
TITLE = b"ray::ServeReplica:fanlight"
SEVEN = (DATA / "digits" / "7.png").read_bytes()


@dataclass(frozen=True)
class TwoNodes:
    """The application on a cluster, with a port of the proxy of each node."""

    address: str
    ports: tuple[int, int]
    repository: Path
    pid: int

    def deploy(self, *options: str) -> None:
        """Run the command as a user does; a second time it updates the application."""
        folders = ("--repository", str(SHIPPED), "--repository", str(self.repository))
        where = ("--address", self.address, "--port", str(self.ports[0]))
        scale = ("--replicas", str(REPLICAS), "--cpus", "1")
        command = [sys.executable, "-m", "fanlight", "ray", "serve", *where, *folders, *scale]
        grace = ("--shutdown-grace", f"{GRACE_SECONDS}s")
        subprocess.run([*command, *grace, *options], check=True, timeout=240)

    def replicas(self) -> dict[int, int]:
        """The process of each replica that runs → the raylet of its node."""
        found = {}
        for pid in _descendants(self.pid):
            try:
                title = Path(f"/proc/{pid}/cmdline").read_bytes()
                parent = int(_stat(pid)[1])
            except (OSError, IndexError):
                continue
            if title.startswith(TITLE):
                found[pid] = parent
        return found


def _stat(pid: int | str) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _descendants(root: int) -> set[int]:
    parents = {}
    for each in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(each.name)] = int(_stat(each.name)[1])
        except (OSError, IndexError):
            continue
    found = more = {root}
    while more:
        more = {pid for pid, parent in parents.items() if parent in more}
        found = found | more
    return found


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoNodes]:
    folder = tmp_path_factory.mktemp("ray")
    repository = folder / "models"
    publish_changing(repository, seed=0)
    port = free_port()
    with (
        tempfile.TemporaryDirectory(prefix="fl-", dir=SHORT) as files,
        subprocess.Popen(
            [sys.executable, "-m", "tests.service.ray.two_nodes", files, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        address = process.stdout.readline().decode().strip()
        cluster = TwoNodes(address, (port, port + 1), repository, process.pid)
        try:
            cluster.deploy()
            for each in cluster.ports:
                until(lambda each=each: _is_ready(each), 60)  # type: ignore[misc]
            yield cluster
        finally:
            process.stdin.close()
            process.wait(120)


def publish_changing(repository: Path, seed: int) -> int:
    """Publish another version of a network that every process knows."""
    import torch

    from models.architectures import registry

    known = registry.architecture("birdplane-batchnorm")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = known.build(2)
    card = checkpoint.publish(
        repository,
        network,
        name="changing",
        architecture="birdplane-batchnorm",
        labels=["plane", "bird"],
        input=known.input_for({}),
    )
    return card.version


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def told(answer: httpx.Response) -> tuple[int, str, Any]:
    """What an answer says, but the id of its request; bytes where they are no problem document."""
    kind = answer.headers["content-type"]
    if kind == "application/problem+json":
        return answer.status_code, kind, answer.json() | {"request_id": ""}
    return answer.status_code, kind, answer.content


REQUESTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("POST", "/v1/models/mnist/predict", {"content": SEVEN}),
    ("POST", "/v1/models/mnist/predict?top_k=2", {"files": [("images", SEVEN)] * 3}),
    ("POST", "/v1/models/changing/predict", {"content": encode(picture(1, (40, 30)))}),
    ("POST", "/v1/models/mnist/features?layers=penultimate&format=npz", {"content": SEVEN}),
    ("POST", "/v1/models/mnist/explain?format=png", {"content": SEVEN}),
    ("GET", "/v1/models/mnist", {}),
    ("GET", "/openapi.json", {}),
    ("GET", "/v1/models/none", {}),
    ("POST", "/v1/models/mnist/predict", {"content": b"no image"}),
    ("POST", "/v1/models/mnist/predict", {"content": SEVEN[:100]}),
    ("POST", "/v1/models/mnist/predict?top=2", {"content": SEVEN}),
    ("GET", "/nowhere", {}),
    ("GET", "/health/ready", {}),
)


def test_answers_equal_those_of_one_process(nodes: TwoNodes, tmp_path: Path) -> None:
    folders = ("--repository", str(SHIPPED), "--repository", str(nodes.repository))
    assert len(set(nodes.replicas().values())) == 2, "a replica on each node"
    with running(tmp_path / "log", *folders) as one:
        for method, path, content in REQUESTS:
            wanted = told(httpx.request(method, one.url + path, timeout=60, **content))
            for port in nodes.ports:
                for _ in range(2 * REPLICAS):  # each replica has its turn
                    url = f"http://127.0.0.1:{port}{path}"
                    assert told(httpx.request(method, url, timeout=60, **content)) == wanted, path


@pytest.mark.anyio
async def test_a_killed_replica_is_replaced_without_a_wrong_answer(nodes: TwoNodes) -> None:
    before = nodes.replicas()
    victim = min(before)
    async with SteadyLoad(nodes.ports[0]) as load:
        os.kill(victim, signal.SIGKILL)
        await until_async(
            lambda: len(set(nodes.replicas()) - {victim}) == REPLICAS and _is_ready(nodes.ports[0]),
            120,
        )
    assert load.outcomes["wrong"] == 0, load.outcomes
    assert load.outcomes["right"] > 20 * load.lost.total(), load.outcomes


@pytest.mark.anyio
async def test_an_update_loses_nothing(nodes: TwoNodes) -> None:
    before = set(nodes.replicas())
    async with SteadyLoad(nodes.ports[1]) as load:
        await asyncio.to_thread(nodes.deploy, "--max-batch-size", "32")
        await until_async(lambda: before.isdisjoint(nodes.replicas()), 120)
    assert len(nodes.replicas()) == REPLICAS
    assert not load.lost, load.outcomes


@pytest.mark.anyio
async def test_a_new_version_replaces_the_old_one_in_all_replicas(nodes: TwoNodes) -> None:
    before = set(nodes.replicas())
    url = f"http://127.0.0.1:{nodes.ports[0]}/v1/models/changing/predict"
    image = encode(picture(2, (40, 30)))

    def versions() -> set[int]:
        return {
            httpx.post(url, content=image, timeout=30).json()["version"]
            for _ in range(4 * REPLICAS)
        }

    assert versions() == {1}
    async with SteadyLoad(nodes.ports[0]) as load:
        assert publish_changing(nodes.repository, seed=1) == 2
        await until_async(lambda: versions() == {2}, 60)
    assert not load.lost, load.outcomes
    assert set(nodes.replicas()) == before
