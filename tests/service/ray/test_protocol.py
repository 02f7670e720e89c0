"""Fanlight's protocol in a server that Ray starts: here, uvicorn as Ray configures it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import httpx2 as httpx
import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from uvicorn.config import HTTP_PROTOCOLS

from service.app import Application, create_app
from service.ray import protocol
from service.ray.protocol import ReplicaHttpProtocol
from service.server.protocol import MAX_HEAD
from service.settings import Settings
from tests.networks import encode, picture
from tests.service.connections import PREDICT

pytestmark = pytest.mark.anyio
IMAGE = encode(picture(0))
PNG = {"Content-Type": "image/png"}


@pytest.fixture
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HTTP_PROTOCOLS, protocol.CHOICE, HTTP_PROTOCOLS[protocol.CHOICE])
    monkeypatch.setattr(ReplicaHttpProtocol, "application", None)
    monkeypatch.setattr(ReplicaHttpProtocol, "of_loop", None)
    monkeypatch.setattr(ReplicaHttpProtocol, "has_warned", False)


@asynccontextmanager
async def replica(repository: Path) -> AsyncIterator[tuple[Application, httpx.AsyncClient]]:
    """An application behind a server like Ray's, whose own handler answers 418 to everything."""
    app = cast(Application, create_app(Settings(repository=repository, device="cpu")))
    protocol.install(app)
    handler = PlainTextResponse("Ray", 418)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            lambda: handler, factory=True, lifespan="off", log_config=None, access_log=False
        )
        server = uvicorn.Server(config)
        async with app.router.lifespan_context(app):
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with httpx.AsyncClient(base_url=url) as client:
                yield app, client
                server.should_exit = True  # while the client is still connected
                await serving


@pytest.mark.usefixtures("_as_before")
async def test_predictions_take_the_fast_path(repository: Path) -> None:
    async with replica(repository) as (app, client):
        answer = await client.post(PREDICT, content=IMAGE, headers=PNG)
        told = (await client.get("/metrics")).text
    assert answer.status_code == 200
    assert answer.json()["model"] == "colors"
    assert 'fanlight_predict_requests_total{way="fast_path"} 1.0' in told
    assert app.fast_path.is_offered_requests


@pytest.mark.usefixtures("_as_before")
async def test_paths_of_ray_are_answered_by_ray(repository: Path) -> None:
    async with replica(repository) as (_, client):
        assert (await client.get("/-/healthz")).status_code == 418
        assert (await client.get("/-")).status_code == 404
        assert (await client.get("/health/ready")).status_code == 200


@pytest.mark.usefixtures("_as_before")
async def test_heads_have_their_bound(repository: Path) -> None:
    async with replica(repository) as (_, client):
        answer = await client.get("/health/live", headers={"X": "a" * MAX_HEAD})
    assert answer.status_code == 400
    assert f"{MAX_HEAD:,} bytes" in answer.text


@pytest.mark.usefixtures("_as_before")
async def test_the_end_of_the_server_makes_the_application_drain(repository: Path) -> None:
    async with replica(repository) as (app, client):
        assert (await client.get("/health/ready")).status_code == 200
        assert not app.state.draining.is_set()
    assert app.state.draining.is_set()


@pytest.mark.usefixtures("_as_before")
async def test_on_another_loop_everything_goes_to_ray(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with replica(repository) as (_, client):
        other = asyncio.new_event_loop()
        monkeypatch.setattr(ReplicaHttpProtocol, "of_loop", other)
        assert (await client.get("/health/ready")).status_code == 418
        long = await client.get("/health/live", headers={"X": "a" * MAX_HEAD})
        other.close()
    assert long.status_code == 400  # heads have their bound in any case
    assert capsys.readouterr().err.count("RAY_SERVE_THROUGHPUT_OPTIMIZED=1") <= 1


@pytest.mark.usefixtures("_as_before")
async def test_without_an_application_it_is_the_usual_protocol() -> None:
    config = uvicorn.Config(PlainTextResponse("other"), log_config=None, lifespan="off")
    config.load()
    made = ReplicaHttpProtocol(config, uvicorn.Server(config).server_state, {})
    assert made.app is config.loaded_app
