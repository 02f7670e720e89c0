"""Bodies are let go with their request: none waits for the garbage collector."""

import asyncio
import gc
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from service import deadlines
from service.images.decoding import Decoder
from service.server.fast_path import PendingAnswer
from tests.networks import encode, picture
from tests.service.connections import FORM, PREDICT, UVLOOP, Serving, WatchedProtocol, form, post
from tests.waiting import until_async

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", [UVLOOP]),
    pytest.mark.slow,
]
MUCH = 10_000  # bytes
LARGE = encode(picture(0, (200, 200)))  # 120 kB, not for the fast path
AS_JSON = b'{"images": ["' + b64encode(LARGE) + b'"]}'
NOT_BASE64 = b'{"images": ["' + b"!" * MUCH * 2 + b'"]}'
FOREIGN = PREDICT.replace("colors", "nothing")
FEATURES = PREDICT.replace("predict", "features")


def large_parts(objects: list[Any]) -> list[str]:
    """What of these holds much, and the types of what it is."""
    return [
        type(each).__name__
        for each in objects
        for part in gc.get_referents(each)
        if isinstance(part, bytes | bytearray) and len(part) > MUCH
    ]


@contextmanager
def without_collector() -> Iterator[Callable[[], list[Any]]]:
    """Switch the collector off; the function that is yielded lists what it would have found."""

    def garbage() -> list[Any]:
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return gc.garbage

    gc.collect()
    gc.disable()
    try:
        yield garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def check(serving: Serving, request_bytes: bytes, status: int, **settings: Any) -> None:
    """Nothing large waits for the collector after three such requests."""
    async with serving(**settings) as client:
        with without_collector() as garbage:
            for _ in range(3):
                other = await client.another()
                other.writer.write(request_bytes)
                assert (await other.answer()).status == status
                await other.leave()
            await until_async(lambda: len(WatchedProtocol.connected) == 1)
            assert large_parts(garbage()) == []


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(post(LARGE), 200, id="image"),
        pytest.param(post(form(LARGE), type=FORM), 200, id="form"),
        pytest.param(post(LARGE[:-50]), 422, id="broken image"),
        pytest.param(post(form(LARGE)[:-50], type=FORM), 400, id="broken form"),
        pytest.param(post(b"nothing" * MUCH, type=FORM), 400, id="no form"),
        pytest.param(post(b"nothing" * MUCH, type="text/plain"), 415, id="not an image"),
        pytest.param(post(AS_JSON, type="application/json"), 200, id="JSON"),
        pytest.param(post(AS_JSON[:-2], type="application/json"), 400, id="broken JSON"),
        pytest.param(post(NOT_BASE64, type="application/json"), 422, id="JSON without base64"),
        pytest.param(post(LARGE, path=FOREIGN), 404, id="no model"),
        pytest.param(post(LARGE, path=f"{FEATURES}?layer=conv"), 200, id="features"),
        pytest.param(post(LARGE, path=FEATURES), 422, id="no layer"),
        pytest.param(post(LARGE, path="/v1/models"), 405, id="another method"),
    ],
)
async def test_no_body_is_left_to_the_collector(
    serving: Serving, request_bytes: bytes, status: int
) -> None:
    await check(serving, request_bytes, status)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(post(LARGE), 200, id="image"),
        pytest.param(post(LARGE, path=f"{FEATURES}?layer=conv"), 200, id="features"),
        pytest.param(post(LARGE[:-50]), 422, id="broken image"),
    ],
)
async def test_nor_that_of_a_request_whose_client_is_watched(
    serving: Serving, request_bytes: bytes, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that takes long is given up once its client has left: a task looks after that."""
    monkeypatch.setattr(deadlines, "WATCH_AFTER_SECONDS", 0)
    await check(serving, request_bytes, status)


async def test_nor_that_of_an_answer_that_is_too_late(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def late(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Decoder, "pixels", late)
    await check(serving, post(LARGE), 504, request_timeout=0.2)


async def test_nor_that_of_a_client_that_leaves_before_its_answer(serving: Serving) -> None:
    async with serving() as client:
        with without_collector() as garbage:
            for pieces in ((post(LARGE)[:-50],), (post(LARGE), post(LARGE), post(LARGE)[:-50])):
                leaver = await client.another()
                for piece in pieces:
                    await leaver.send(piece)
                await leaver.leave(abruptly=True)
            await until_async(lambda: len(WatchedProtocol.connected) == 1)
            await until_async(lambda: client.app.state.receiver.limits.held == 0)
            assert (await client.post()).status == 200
            assert large_parts(garbage()) == []


async def test_nor_a_request_that_the_fast_path_refuses(serving: Serving) -> None:
    async with serving(max_queue_wait=2) as client:
        held = client.hold()
        others = [await client.another() for _ in range(2)]
        others[0].writer.write(post())
        await until_async(held.started.is_set)
        others[1].writer.write(post())
        await until_async(lambda: client.batcher.waiting)
        client.batcher.seconds_per_item = 2.5
        with without_collector() as garbage:
            for _ in range(3):
                assert ((await client.post()).status, client.taken[-1]) == (429, True)
            assert not [each for each in garbage() if isinstance(each, PendingAnswer)]
        held.let_go.set()
        for other in others:
            assert (await other.answer()).status == 200
