"""`fanlight ray serve`: the command line → settings and a scale."""

from pathlib import Path
from typing import Any

import pytest

from fanlight import ray
from fanlight.command import main
from service import launch
from service.ray import cluster
from service.ray.scale import Scale


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would be started: settings, scale, and proxy or address."""
    calls: list[Any] = []
    monkeypatch.setattr(launch, "refusal", lambda _: None)
    monkeypatch.setattr(cluster, "serve_here", lambda *given: calls.append(given))
    monkeypatch.setattr(cluster, "deploy", lambda *given: calls.append(given))
    return calls


def test_a_cluster_of_its_own(started: list[Any], tmp_path: Path) -> None:
    words = ["--replicas", "2", "--cpus", "0.5", "--repository", str(tmp_path), "--port", "9000"]
    assert main(["ray", "serve", *words, "--max-batch-size", "8"]) == 0
    [(settings, scale, proxy)] = started
    assert (settings.port, settings.repository, settings.max_batch_size) == (9000, (tmp_path,), 8)
    assert scale == Scale(replicas=2, cpus=0.5)
    assert proxy == cluster.usual_proxy()


def test_a_cluster_that_runs(started: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["ray", "serve", "--address", "10.0.0.1:6379", "--gpus", "0.5"]) == 0
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert main(["ray", "serve"]) == 0
    assert [address for *_, address in started] == ["10.0.0.1:6379", "auto"]
    assert started[0][1] == Scale(gpus=0.5)


def test_examples_are_taken(started: list[Any]) -> None:
    ours = [each.line for each in ray.EXAMPLES if each.line.startswith("fanlight ")]
    for line in ours:
        assert main(line.split()[1:]) == 0, line
    assert len(started) == len(ours) > 3


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--replicas", "0"], "replicas 0 needs max_replicas"),
        (["--replicas", "two"], "--replicas: should be a whole number, not 'two'"),
        (["--cpus", "-1"], "--cpus: should be at least 0, not -1.0"),
        (["--max-replicas", "0"], "--max-replicas: should be at least 1, not 0"),
        (["--proxy", "nginx"], "there are haproxy, ray"),
        (["--proxy", "ray", "--address", "auto"], "--proxy is for a cluster of its own"),
        (["--port", "0"], "--port: Ray takes no port 0"),
        (["--workers", "2"], "no option --workers"),
        (["--max-batch-size", "0"], "--max-batch-size: "),
    ],
)
def test_wrong_usage(
    words: list[str], text: str, started: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ray", "serve", *words]) == 2
    assert text in capsys.readouterr().err
    assert not started


def test_variables_without_use_on_ray_are_refused(
    started: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FANLIGHT_WORKERS", "2")
    assert main(["ray", "serve"]) == 2
    assert "FANLIGHT_WORKERS: not on Ray" in capsys.readouterr().err


def test_a_cluster_that_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise cluster.ClusterError("no Ray cluster: refused")

    monkeypatch.setattr(cluster, "deploy", fail)
    assert main(["ray", "serve", "--address", "auto"]) == 2
    assert capsys.readouterr().err == "error: no Ray cluster: refused\n"


def test_ray_is_missing(
    started: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ray, "find_spec", lambda _: None)
    assert main(["ray", "serve"]) == 2
    assert "pip install 'fanlight[ray]'" in capsys.readouterr().err


def test_help_tells_the_options_of_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ray", "serve", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    for words in ("--target-requests N", "[default: 16]", "env: FANLIGHT_REPOSITORY", "--address"):
        assert words in told
    assert "--workers" not in told
    assert "--tls-key" not in told
