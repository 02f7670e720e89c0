"""A replica, built here as Ray builds it on a node."""

import os
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from uvicorn.config import HTTP_PROTOCOLS

from service.app import Application
from service.errors import UnavailableError
from service.ray import protocol
from service.ray.application import environment
from service.ray.protocol import ReplicaHttpProtocol
from service.ray.replica import MAX_SHARES, ONGOING, Replica, replicas_of_node
from service.settings import Settings


@pytest.fixture
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(HTTP_PROTOCOLS, protocol.CHOICE, HTTP_PROTOCOLS[protocol.CHOICE])
    monkeypatch.setattr(ReplicaHttpProtocol, "application", None)
    monkeypatch.setattr(ReplicaHttpProtocol, "of_loop", None)
    with patch.dict(os.environ):
        yield


@pytest.mark.parametrize(
    ("processors", "cpus", "wanted"),
    [(16, 1, 16), (16, 4, 4), (16, 6, 2), (2, 4, 1), (2, 0.5, 4), (2, 0, 1), (64, 0.01, 256)],
)
def test_the_processors_of_a_node_are_shared(
    processors: int, cpus: float, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.process.cpu.available_cpus", lambda: processors)
    assert replicas_of_node(cpus) == wanted <= MAX_SHARES


@pytest.mark.anyio
@pytest.mark.usefixtures("_as_before")
async def test_settings_of_the_deployment_win_over_those_of_the_node(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FANLIGHT_MAX_IMAGES", "3")
    monkeypatch.setenv("FANLIGHT_MAX_BATCH_SIZE", "5")
    given = environment(Settings(repository=repository, max_batch_size=7, max_images=128))
    del given["FANLIGHT_MAX_IMAGES"]
    monkeypatch.setattr("service.process.cpu.available_cpus", lambda: 8)
    app = Replica(given, 2.0).__serve_build_asgi_app__()
    assert isinstance(app, Application)
    assert app.state.settings.max_batch_size == 7
    assert app.state.settings.max_images == Settings.model_fields["max_images"].default
    assert app.state.settings.workers == 4


@pytest.mark.anyio
@pytest.mark.usefixtures("_as_before")
async def test_health_is_readiness_and_requests_are_counted(repository: Path) -> None:
    replica = Replica(environment(Settings(repository=repository, device="cpu")), 1.0)
    app = replica.__serve_build_asgi_app__()
    assert isinstance(app, Application)
    async with app.router.lifespan_context(app):
        await replica.check_health()
        app.state.metrics.in_flight += 2
        assert await replica.record_autoscaling_stats() == {ONGOING: 2}
        app.drain()
        with pytest.raises(UnavailableError, match="about to end"):
            await replica.check_health()


def test_the_figure_is_the_one_that_ray_reads() -> None:
    from ray.serve._private.common import RUNNING_REQUESTS_KEY

    assert ONGOING == RUNNING_REQUESTS_KEY
