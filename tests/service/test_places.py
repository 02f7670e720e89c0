"""No kind of request keeps the others waiting, and none keeps a model from loading."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from service.responses.inside import inputs, kernels
from tests.networks import publish_tiny
from tests.service.connections import UVLOOP, Answered, Client, Serving, post
from tests.waiting import until_async

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", [UVLOOP]),
    pytest.mark.slow,
]
MODEL = "/v1/models/colors"
KERNELS = f"GET {MODEL}/kernels/conv HTTP/1.1\r\nHost: x\r\n\r\n".encode()
REQUESTS = {
    "kernels": KERNELS,
    "receptive fields": f"GET {MODEL}/receptive-fields HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    "input": post(path=f"{MODEL}/input"),
    "features": post(path=f"{MODEL}/features?layer=conv"),
    "explain": post(path=f"{MODEL}/explain?method=saliency"),
    "predict": post(),
}
CROWD = 40


class Stuck:
    """Takes the place of a function; does nothing until it may."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
        self._encode, self.free = module.encode, threading.Event()
        monkeypatch.setattr(module, "encode", self)

    def __call__(self, *arguments: Any) -> Any:
        assert self.free.wait(30)
        return self._encode(*arguments)


async def asked(client: Client, request: bytes) -> Answered:
    client.writer.write(request)
    return await client.answer()


async def crowd(client: Client, request: bytes) -> list[Client]:
    """So many clients that ask the same."""
    clients = [await client.another() for _ in range(CROWD)]
    for each in clients:
        each.writer.write(request)
    return clients


@pytest.mark.parametrize(("module", "kind"), [(kernels, "kernels"), (inputs, "input")])
async def test_a_crowd_gets_429_and_others_their_answers(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, repository: Path, module: Any, kind: str
) -> None:
    stuck = Stuck(monkeypatch, module)
    async with serving(max_inspect_queue_size=8) as client:
        clients = await crowd(client, REQUESTS[kind])
        answers = [asyncio.create_task(each.answer()) for each in clients]
        await until_async(lambda: sum(each.done() for each in answers) == CROWD - 8)
        refused = [each.result() for each in answers if each.done()]
        assert {each.status for each in refused} == {429}
        assert "at most 8 may (setting max_inspect_queue_size)" in refused[0].told["detail"]
        for other in REQUESTS.keys() - {kind}:
            assert (await asked(client, REQUESTS[other])).status == 200, other
        publish_tiny(repository, seed=3)
        await client.app.state.repository.update()
        assert (await asked(client, post(path=f"{MODEL}/predict?version=3"))).status == 200
        stuck.free.set()
        statuses = [(await each).status for each in answers]
        assert sorted(statuses) == [200] * 8 + [429] * (CROWD - 8)


async def test_threads_that_load_keep_no_request_waiting(serving: Serving) -> None:
    async with serving() as client:
        free = threading.Event()
        loading = [asyncio.create_task(asyncio.to_thread(free.wait, 30)) for _ in range(50)]
        try:
            for kind, request in REQUESTS.items():
                assert (await asked(client, request)).status == 200, kind
        finally:
            free.set()
            await asyncio.gather(*loading)


async def test_kernels_that_nobody_waits_for_give_their_place_back(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = Stuck(monkeypatch, kernels)
    async with serving(max_inspect_queue_size=8) as client:
        clients = await crowd(client, KERNELS)
        places = client.app.state.inspector.places.kernels
        await until_async(lambda: places.taken == 8)
        for each in clients:
            await each.leave()
        await until_async(lambda: places.taken == 0)
        stuck.free.set()
        assert (await asked(client, KERNELS)).status == 200


async def test_kernels_have_a_deadline(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = Stuck(monkeypatch, kernels)
    async with serving(request_timeout=0.2) as client:
        late = await asked(client, KERNELS)
        stuck.free.set()
        assert (late.status, late.told["title"]) == (504, "Deadline passed")
        assert (await asked(client, KERNELS)).status == 200
