"""A running service over tiny networks."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings

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
