"""The configuration of the deployment, made without a cluster."""

import re
from pathlib import Path
from typing import Any

import pytest
from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig

from deploy.ray import app
from service.ray import application as made
from service.ray.application import MAX_ONGOING, configuration, environment
from service.ray.replica import Replica
from service.ray.scale import Scale
from service.settings import SHIPPED, Settings


def options(scale: Scale, **settings: Any) -> Any:
    """The deployment as Ray has understood its configuration."""
    deploy: Any = serve.deployment(**configuration(Settings(**settings), scale))
    return deploy(Replica)


def test_a_fixed_number_of_replicas() -> None:
    found = options(Scale(replicas=3, cpus=2, gpus=0.5))
    assert found.num_replicas == 3
    assert found.ray_actor_options == {"num_cpus": 2, "num_gpus": 0.5}


def test_as_many_replicas_as_there_are_requests_for() -> None:
    scale = Scale(replicas=0, max_replicas=8, target_requests=4, upscale_delay=20)
    assert options(scale)
    found = AutoscalingConfig(**configuration(Settings(), scale)["autoscaling_config"])
    assert (found.min_replicas, found.max_replicas) == (0, 8)
    assert found.target_ongoing_requests == 4
    assert found.look_back_period_s == found.upscale_delay_s == 20


def test_ray_refuses_only_what_our_queue_would_have_refused() -> None:
    found = options(Scale())
    assert found.max_ongoing_requests == MAX_ONGOING > Settings().max_queue_size
    assert configuration(Settings(), Scale())["backpressure_config"]["status_code"] == 429


def test_a_replica_has_time_to_answer_what_it_has_accepted() -> None:
    given = configuration(Settings(shutdown_grace=12.0, request_timeout=30.0), Scale())
    receives, answers = 30, 30  # a request that came at the end of the grace period
    assert 0 < given["graceful_shutdown_timeout_s"] - (12 + receives + answers) < 10
    assert given["health_check_timeout_s"] == Settings().worker_timeout
    assert given["max_surge_percent"] == 100


class TestEnvironment:
    """The variables of a replica."""

    def test_gives_the_settings_back(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        wanted = Settings(repository=tmp_path, max_batch_size=7, api_key="secret", port=9000)
        for name, value in environment(wanted).items():
            monkeypatch.setenv(name, value)
        found = Settings()
        assert found.repository == (tmp_path,)
        assert (found.max_batch_size, found.api_key) == (7, wanted.api_key)
        assert found.port == 8000  # Ray listens

    def test_paths_are_absolute(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.chdir(tmp_path)
        found = environment(
            Settings(repository="my models", graph_cache="graphs", api_key_file="keys.txt")
        )
        assert found["FANLIGHT_REPOSITORY"] == str(tmp_path / "my models")
        assert found["FANLIGHT_GRAPH_CACHE"] == str(tmp_path / "graphs")
        assert found["FANLIGHT_API_KEY_FILE"] == str(tmp_path / "keys.txt")

    def test_the_usual_folders_are_those_of_who_deploys(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "checkpoints").mkdir()
        monkeypatch.chdir(tmp_path)
        told = environment(Settings())["FANLIGHT_REPOSITORY"]
        assert re.split("[:;]", told) == [str(tmp_path / "checkpoints"), str(SHIPPED)]


def test_serve_run_builds_the_same_application(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FANLIGHT_REPOSITORY", str(tmp_path))
    assert isinstance(app(Scale(replicas=2)), Application)
    given: list[tuple[Settings, Scale]] = []
    monkeypatch.setattr(made, "application", lambda *each: given.append(each))
    app(Scale(replicas=2))
    assert given == [(Settings(repository=tmp_path), Scale(replicas=2))]
