"""The variables of a cluster, and errors before anything is served."""

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
    monkeypatch.setattr(serve, "start", fail)
    monkeypatch.setattr(serve, "status", fail)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    with pytest.raises(ClusterError, match=r"the application does not run: .+"):
        cluster.deploy(Settings(), Scale(), "auto")
