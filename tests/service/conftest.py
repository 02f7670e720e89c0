"""A running service over tiny networks."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import Application, create_app
from service.settings import Settings
from tests.service.connections import Client, Serving, listening

Serve = Callable[..., TestClient]


@contextmanager
def starting(repository: Path) -> Iterator[Serve]:
    """Services over the repository, until the block ends."""
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
def serve(repository: Path) -> Iterator[Serve]:
    """Start the service with these settings, and wait until its models are loaded."""
    with starting(repository) as serve:
        yield serve


@pytest.fixture(scope="module")
def client(shared_repository: Path) -> Iterator[TestClient]:
    """A service that the tests of a module share; those that change it or count use `serve`."""
    with starting(shared_repository) as serve:
        yield serve()


@pytest.fixture
def serving(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Serving:
    """Start the service with these settings, by default on two processors, to be talked to."""
    monkeypatch.setattr("service.process.cpu.available_cpus", lambda: 2)

    @asynccontextmanager
    async def serve(**settings: Any) -> AsyncIterator[Client]:
        app = create_app(Settings(repository=repository, device="cpu", **settings))
        assert isinstance(app, Application)
        taken: list[bool] = []
        take = app.fast_path.take

        def recorded(*arguments: Any) -> Any:
            pending = take(*arguments)
            taken.append(pending is not None)
            return pending

        monkeypatch.setattr(app.fast_path, "take", recorded)
        async with listening(app, lifespan="on", proxy_headers=False) as address:
            await app.state.repository.loaded()
            client = Client(app, address, taken)
            await client.connect()
            try:
                yield client
            finally:
                await client.close()
        assert not len(app.state.receiver.timer)  # every deadline has ended

    return serve
