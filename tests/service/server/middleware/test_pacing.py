"""Many GETs hold up neither a look at health nor a prediction."""

import asyncio
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from service.server.middleware.pacing import Pacing

OTHERS = [("GET", "/health/live"), ("GET", "/v2/health/ready"), ("POST", "/v1/models/xo/predict")]


class Recorder:
    """An application that notes which requests it got."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])


def ask(app: Pacing, method: str, path: str) -> "asyncio.Task[None]":
    nothing: Any = None
    scope = {"type": "http", "method": method, "path": path}

    async def asked() -> None:
        await app(scope, nothing, nothing)

    return asyncio.create_task(asked())


@pytest.mark.parametrize(("method", "path"), OTHERS)
def test_others_do_not_wait_for_the_gets_before_them(method: str, path: str) -> None:
    recorder = Recorder()

    async def asking() -> None:
        app = Pacing(recorder)
        gets = [ask(app, "GET", "/metrics") for _ in range(50)]
        await ask(app, method, path)
        assert recorder.paths.index(path) <= 2
        await asyncio.gather(*gets)

    asyncio.run(asking())
    assert len(recorder.paths) == 51


def test_gets_begin_in_the_order_of_their_arrival() -> None:
    recorder = Recorder()

    async def asking() -> None:
        app = Pacing(recorder)
        for numbers in (range(20), range(20, 25)):
            await asyncio.gather(*(ask(app, "GET", f"/{number}") for number in numbers))

    asyncio.run(asking())
    assert recorder.paths == [f"/{number}" for number in range(25)]


def test_a_task_that_is_cancelled_gives_its_turn_to_the_next() -> None:
    recorder = Recorder()

    async def asking() -> None:
        app = Pacing(recorder)
        gets = [ask(app, "GET", f"/{number}") for number in range(5)]
        await asyncio.sleep(0)
        for leaving in gets[1:4]:
            leaving.cancel()
        await asyncio.gather(*gets, return_exceptions=True)

    asyncio.run(asking())
    assert recorder.paths == ["/0", "/4"]
