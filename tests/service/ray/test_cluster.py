"""The variables of a cluster, and errors before anything is served."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import serve
from ray.exceptions import RayActorError

from service.ray import cluster
from service.ray.cluster import ClusterError
from service.ray.scale import Scale
from service.settings import Settings
from tests.waiting import until


def test_nothing_is_told_to_others_and_files_are_our_own(tmp_path: Path) -> None:
    found = cluster.variables(Settings(shutdown_grace=7.0), "haproxy", tmp_path)
    assert found["RAY_USAGE_STATS_ENABLED"] == "0"
    assert found["RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S"] == "7.0"
    files = {name: value for name, value in found.items() if "/" in value}
    assert len(files) == 5
    assert all(Path(value).is_relative_to(tmp_path) for value in files.values())


def test_variables_are_those_that_ray_reads(tmp_path: Path) -> None:
    constants = Path(ray.__file__).parent / "serve" / "_private" / "constants.py"
    text = constants.read_text()
    for proxy in ("haproxy", "ray"):
        for name in cluster.variables(Settings(), proxy, tmp_path):
            assert f'"{name}"' in text or name == "RAY_USAGE_STATS_ENABLED"


def test_rays_own_proxy_starts_no_haproxy(tmp_path: Path) -> None:
    found = cluster.variables(Settings(), "ray", tmp_path)
    assert found["RAY_SERVE_ENABLE_HA_PROXY"] == found["RAY_SERVE_ENABLE_DIRECT_INGRESS"] == "0"


def test_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise ConnectionError("Could not find any\n  running Ray instance.")

    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    with pytest.raises(ClusterError, match="no Ray cluster: Could not find any running Ray"):
        cluster.deploy(Settings(), Scale(), "auto")


@pytest.mark.parametrize("error", [RayActorError(), TimeoutError("slow"), RuntimeError("failed")])
def test_what_ray_raises_is_an_error_with_a_reason(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> None:
        raise error

    monkeypatch.setattr(ray, "init", lambda **_: None)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(ray, "cluster_resources", dict)
    monkeypatch.setattr(serve, "start", fail)
    monkeypatch.setattr(serve, "status", fail)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    with pytest.raises(ClusterError, match=r"the application does not run: .+"):
        cluster.deploy(Settings(), Scale(), "auto")


@pytest.mark.parametrize(
    ("scale", "there", "told"),
    [
        (Scale(replicas=2), {"CPU": 2.0}, None),
        (Scale(replicas=0, max_replicas=9), {}, None),
        (Scale(replicas=4, cpus=8), {"CPU": 2.0}, "4 replicas with 8 processors each: 32 "),
        (Scale(), {"CPU": 0.5}, "a replica with 1 processors each: 1 "),
        (Scale(gpus=0.25, replicas=5), {"CPU": 8.0, "GPU": 1.0}, "1.25 GPUs, and there are 1"),
        (Scale(gpus=1), {"CPU": 8.0}, "1 GPUs, and there are 0"),
    ],
)
def test_missing_room_is_told(scale: Scale, there: dict[str, float], told: str | None) -> None:
    found = cluster.lacks(scale, there)
    assert found is None if told is None else told in str(found)


def test_a_reason_is_the_error_without_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    told = """The deployment failed to start 3 times in a row. Error:
ray::ServeReplica:fanlight:fanlight.initialize() (pid=1, ip=127.0.0.1)
  File "/a/replica.py", line 9, in __init__
    raise error
service.errors.UnavailableError: no model: put one into /models"""

    def refuse(**_: Any) -> None:
        raise RuntimeError(told)

    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    with pytest.raises(ClusterError) as error:
        cluster.deploy(Settings(), Scale(), "auto")
    assert "no Ray cluster: no model: put one into /models (Ray's logs" in str(error.value)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="Linux has /proc")
def test_what_ray_has_forgotten_is_ended(tmp_path: Path) -> None:
    wait = "import time; time.sleep(60)"
    mine, other = (
        subprocess.Popen([sys.executable, "-c", wait, str(tmp_path / name / "haproxy.cfg")])
        for name in ("mine", "mine-not")
    )
    try:
        until(lambda: Path(f"/proc/{mine.pid}/cmdline").read_bytes().endswith(b"haproxy.cfg\0"))
        cluster.end_left(tmp_path / "mine")
        assert mine.wait(10) == -signal.SIGTERM
        assert other.poll() is None
    finally:
        for each in (mine, other):
            each.kill()
            each.wait()
