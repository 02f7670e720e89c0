"""Requests that were taken, until their answer: clients leave, time passes, networks fail."""

import asyncio
import gc
import shutil
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from models.preprocessing import Pixels
from service.inference.engine import PredictionResult
from tests.networks import encode, picture
from tests.service.connections import PREDICT, UVLOOP, Serving, WatchedProtocol, post
from tests.waiting import until_async

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", [UVLOOP]),
    pytest.mark.slow,
]


async def test_a_client_that_leaves_with_requests_in_line_is_no_error(serving: Serving) -> None:
    async with serving() as client:
        held = client.hold()
        leaver = await client.another()
        with capture_logs() as lines:
            leaver.writer.write(post() * 5)
            await until_async(held.started.is_set)
            await leaver.leave()
            held.let_go.set()
            assert (await client.post()).status == 200
            await until_async(lambda: len(WatchedProtocol.connected) == 1)
            await until_async(lambda: 200 in statuses(lines))
        assert {line["event"] for line in lines} == {"request"}


async def test_answers_of_a_connection_come_in_order(serving: Serving) -> None:
    async with serving() as client:
        held = client.hold()
        many = [post(path=f"{PREDICT}?top_k={k}") for k in (1, 2, 3)]
        health = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
        client.writer.write(many[0] + many[1] + health + many[2])
        await until_async(held.started.is_set)
        held.let_go.set()
        told = [(await client.answer()).told for _ in range(4)]
        assert [len(each["predictions"][0]["top"]) for each in (*told[:2], told[3])] == [1, 2, 3]
        assert "predictions" not in told[2]
        assert client.taken == [True]
        assert (await client.post()).status == 200  # the connection goes on
        assert client.taken == [True, True]


async def test_many_connections_get_their_own_answers(serving: Serving) -> None:
    async with serving() as client:
        images = [encode(picture(seed)) for seed in range(20)]
        alone = [(await client.post(image)).told for image in images]
        others = [await client.another() for _ in images]
        together = await asyncio.gather(
            *(other.post(image) for other, image in zip(others, images, strict=True))
        )
        for one, other in zip(alone, together, strict=True):
            first, second = one["predictions"][0], other.told["predictions"][0]
            assert first["label"] == second["label"]
            assert first["score"] == pytest.approx(second["score"], abs=1e-6)
        assert int(max(each.headers["x-batch-size"] for each in together)) > 1


async def test_the_images_of_a_client_that_leaves_are_not_run(serving: Serving) -> None:
    async with serving() as client:
        held = client.hold()
        first, leaver, last = [await client.another() for _ in range(3)]
        first.writer.write(post())
        await until_async(held.started.is_set)  # the first one's image is being run
        for each in (leaver, last):
            await each.send(post())
        await until_async(lambda: client.batcher.waiting == 2)
        with capture_logs() as lines:
            await leaver.leave()
            await until_async(lambda: statuses(lines))
        assert client.batcher.waiting == 1
        assert statuses(lines) == [499]
        held.let_go.set()
        for each in (first, last):
            assert (await each.answer()).status == 200
        assert client.taken == [True] * 3


async def test_a_client_that_leaves_while_its_image_runs_harms_nobody(serving: Serving) -> None:
    async with serving() as client:
        held = client.hold()
        leaver = await client.another()
        leaver.writer.write(post() + post())
        await until_async(held.started.is_set)
        await leaver.leave(abruptly=True)
        held.let_go.set()
        assert (await client.post()).status == 200
        assert client.taken == [True, True]


async def test_the_deadline_holds(serving: Serving) -> None:
    async with serving(request_timeout=0.1) as client:
        held = client.hold()
        late = await client.post()
        assert (late.status, late.told["title"]) == (504, "Deadline passed")
        assert "(setting request_timeout)" in late.told["detail"]
        held.let_go.set()
        assert (await client.post()).status == 200
        assert client.taken == [True, True]


async def test_a_full_queue_is_told(serving: Serving) -> None:
    async with serving(max_queue_size=1, max_images=1, root_path="/fanlight") as client:
        held = client.hold()
        others = [await client.another() for _ in range(2)]
        others[0].writer.write(post())
        await until_async(held.started.is_set)
        others[1].writer.write(post())
        await until_async(lambda: client.batcher.waiting)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(client.app.state.decoder, "decode_now", lambda *_: 1 / 0)  # is not asked
            with capture_logs() as lines:
                refused = await client.post()
                assert (refused.status, refused.told["title"]) == (429, "Queue full")
                assert refused.told["instance"] == f"/fanlight{PREDICT}"
                assert refused.headers["retry-after"] == "1"
                await until_async(lambda: lines)
            assert [(line["event"], line["refused"]) for line in lines] == [("overloaded", 1)]
            assert (await client.post()).status == 429  # the connection is read again
        held.let_go.set()
        for other in others:
            assert (await other.answer()).status == 200


async def test_a_queue_that_takes_too_long_is_full(serving: Serving) -> None:
    """On both ways, and before the body is received."""
    async with serving(max_queue_wait=2) as client:
        held = client.hold()
        others = [await client.another() for _ in range(3)]
        others[0].writer.write(post())
        await until_async(held.started.is_set)
        others[1].writer.write(post())
        await until_async(lambda: client.batcher.waiting)
        client.batcher.seconds_per_item = 2.5
        refused = await client.post()
        assert (refused.status, client.taken[-1]) == (429, True)
        assert "take 2.5 s, more than 2 s (setting max_queue_wait)" in refused.told["detail"]
        large = post(b"x" * 2**20)
        others[2].writer.write(large[: len(large) // 2])
        assert (await others[2].answer()).told["detail"] == refused.told["detail"]
        client.batcher.seconds_per_item = 1.5
        last = await client.another()
        last.writer.write(post())
        await until_async(lambda: client.batcher.waiting == 2)
        held.let_go.set()
        for other in (*others[:2], last):
            assert (await other.answer()).status == 200


async def test_a_request_that_was_read_late_is_refused_while_others_wait(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(max_queue_size=4, max_images=1) as client:
        held = client.hold()
        others = [await client.another() for _ in range(3)]
        others[0].writer.write(post())
        await until_async(held.started.is_set)
        for other in others[1:]:
            other.writer.write(post())
        await until_async(lambda: client.batcher.waiting == 2)
        client.batcher.seconds_per_item = 10
        assert (await client.post()).status == 429  # from now on the sockets are asked
        monkeypatch.setattr("service.server.protocol.backpressure.waited", lambda _socket: 0.5)
        client.batcher.seconds_per_item = 0.1  # a full queue takes 0.4 s
        late = await client.post()
        assert late.status == 429
        assert "too busy to read this request in time" in late.told["detail"]
        held.let_go.set()
        for other in others:
            assert (await other.answer()).status == 200
        assert (await client.post()).status == 200  # nobody waits


async def test_after_its_pause_a_client_that_takes_no_answers_is_not_read(
    serving: Serving,
) -> None:
    async with serving() as client:
        await client.post()
        [protocol] = WatchedProtocol.connected
        protocol.pause()
        protocol.pause_writing()
        await until_async(lambda: not client.app.fast_path.backpressure.paused)
        assert protocol.flow.read_paused
        protocol.resume_writing()
        assert (await client.post()).status == 200


async def test_a_network_that_fails_is_told(serving: Serving) -> None:
    async with serving() as client:

        async def fail(_pictures: list[Pixels]) -> list[PredictionResult]:
            raise RuntimeError("broken")

        client.batcher.run = fail
        with capture_logs() as lines:
            answer = await client.post()
        assert answer.status == 500
        assert "see the server's log" in answer.told["detail"]
        assert "broken" not in answer.body.decode()
        assert [line["event"] for line in lines] == ["batch failed", "request"]


async def test_an_unexpected_error_is_told_and_logged(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the request was taken: the client gets a 500, the log gets the traceback."""
    async with serving() as client:
        monkeypatch.setattr("service.server.fast_path.predictions.encode", lambda *_: 1 / 0)
        with capture_logs() as lines:
            answer = await client.post()
        assert answer.status == 500
        assert "request_id" in answer.told["detail"]
        assert [line["event"] for line in lines] == ["unexpected error", "request"]
        assert client.taken == [True]


async def test_a_fast_path_that_fails_is_logged_once_and_the_application_answers(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving() as client:
        decoder = client.app.state.decoder
        monkeypatch.setattr(decoder, "decode_now", lambda *_: 1 / 0)
        with capture_logs() as lines:
            answers = [await client.post() for _ in range(3)]
        assert [answer.status for answer in answers] == [200] * 3
        assert client.taken == [False] * 3
        [failed] = [line for line in lines if line["event"] == "fast path failed"]
        assert failed["error"] == "ZeroDivisionError('division by zero')"
        assert failed["exc_info"].__traceback__ is not None
        figures = client.app.state.metrics.exposition().decode()
        assert 'fanlight_fast_path_failures_total{error="ZeroDivisionError"} 3.0' in figures
        monkeypatch.setattr(decoder, "decode_now", lambda *_: [][1])  # an error of another type
        with capture_logs() as lines:
            assert (await client.post()).status == 200
        assert [line["event"] for line in lines] == ["fast path failed", "request"]


async def test_metrics_tell_which_way_answered(serving: Serving) -> None:
    async with serving() as client:
        for k in (1, 2):
            assert (await client.post(path=f"{PREDICT}?top_k={k}")).status == 200
        assert (await client.post(b"no image")).status == 422
        assert (await client.post(path="/v1/models/nobody/predict")).status == 404
        figures = client.app.state.metrics.exposition().decode()
        assert 'fanlight_predict_requests_total{way="fast_path"} 2.0' in figures
        assert 'fanlight_predict_requests_total{way="application"} 2.0' in figures


async def test_a_version_is_let_go_of_while_its_clients_stay(
    serving: Serving, repository: Path
) -> None:
    async with serving() as client:
        known = client.app.state.repository
        assert (await client.post(path=f"{PREDICT}?version=2")).status == 200
        loaded = weakref.ref(known.get("colors", 2))
        shutil.rmtree(repository / "colors" / "2")
        await known.update()
        gc.collect()
        assert loaded() is None
        assert client.taken == [True]
        assert (await client.post()).status == 200  # from the version that is left


async def test_requests_have_their_line_and_their_figure(serving: Serving) -> None:
    async with serving() as client:
        with capture_logs() as lines:
            answer = await client.post(X_Request_ID="mine", path=f"{PREDICT}?top_k=1")
        [line] = [line for line in lines if line["event"] == "request"]
        assert (line["method"], line["path"], line["status"]) == ("POST", PREDICT, 200)
        assert line["request_id"] == answer.headers["x-request-id"] == "mine"
        figures = client.app.state.metrics.exposition().decode()
        labels = 'model="colors",operation="predict",status="200"'
        assert f"fanlight_request_seconds_count{{{labels}}} 1.0" in figures


async def test_a_server_that_stops_answers_first(serving: Serving) -> None:
    async with serving() as client:
        held = client.hold()
        client.writer.write(post())
        await until_async(held.started.is_set)
        [protocol] = WatchedProtocol.connected
        protocol.shutdown()
        held.let_go.set()
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await asyncio.wait_for(client.reader.read(), 1) == b""


async def test_a_client_that_takes_no_answers_gets_no_more(serving: Serving) -> None:
    async with serving() as client:
        await client.post()
        [protocol] = WatchedProtocol.connected
        protocol.pause_writing()
        assert not protocol.transport.is_reading()
        client.writer.write(post())
        protocol.resume_writing()
        assert (await client.answer()).status == 200
        assert client.taken == [True, True]


def statuses(lines: Iterable[Mapping[str, Any]]) -> list[int]:
    """Of the requests in these log lines."""
    return [line["status"] for line in lines if line["event"] == "request"]
