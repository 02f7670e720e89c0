"""A running service over tiny networks."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import Application, create_app
from service.settings import Settings
from tests.service.connections import Client, Serving, listening

Serve = Callable[..., TestClient]


@pytest.fixture
def serve(repository: Path) -> Iterator[Serve]:
    """Start the service with these settings, and wait until its models are loaded."""
    with ExitStack() as running:

        def start(wait: bool = True, **settings: Any) -> TestClient:
            values = {"repository": repository, "device": "cpu", **settings}
            app = create_app(Settings(**values))
            client = running.enter_context(TestClient(app, raise_server_exceptions=False))
            if wait:
                assert client.portal is not None
                client.portal.call(app.state.repository.loaded)
            return client

        yield start


@pytest.fixture
def client(serve: Serve) -> TestClient:
    return serve()


@pytest.fixture
def serving(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Serving:
    """Start the service with these settings, by default on two processors, to be talked to."""
    monkeypatch.setattr("service.processors.available", lambda: 2)

    @asynccontextmanager
    async def serve(**settings: Any) -> AsyncIterator[Client]:
        app = create_app(Settings(repository=repository, device="cpu", **settings))
        assert isinstance(app, Application)
        taken: list[bool] = []
        take = app.direct.take

        def recorded(*arguments: Any) -> Any:
            exchange = take(*arguments)
            taken.append(exchange is not None)
            return exchange

        monkeypatch.setattr(app.direct, "take", recorded)
        async with listening(app, lifespan="on", proxy_headers=False) as address:
            await app.state.repository.loaded()
            client = Client(app, address, taken)
            await client.connect()
            try:
                yield client
            finally:
                await client.close()
        assert not app.state.receiver.rounds._patient  # who waits for the time is forgotten

    return serve
