"""`explain` as a stream of lines: how far it is, then the answer; and what ends it early."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any
from unittest.mock import AsyncMock

import httpx2 as httpx
import pytest
from fastapi import Response
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from service.inference import explanation
from service.inference.explain_methods.method import METHODS
from service.inference.progress import Told
from service.responses.lines import Lines
from service.responses.problems import LATE
from tests.networks import encode, picture
from tests.service.conftest import Serve
from tests.service.connections import FORM, Client, Serving, form, post
from tests.service.connections import PREDICT as PREDICTED
from tests.service.test_errors import problem
from tests.service.test_predict import parts
from tests.waiting import until_async

IMAGES = [encode(picture(seed)) for seed in range(3)]
LINES = "application/x-ndjson"
EXPLAIN = "/v1/models/colors/explain"
NAMES = METHODS.names()


def ask(client: TestClient, *images: bytes, accept: str = LINES, **params: Any) -> httpx.Response:
    params = {"method": "occlusion", **params}
    answer: httpx.Response = client.post(
        EXPLAIN, files=parts(*(images or IMAGES)), params=params, headers={"Accept": accept}
    )
    return answer


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == LINES
    assert answer.text.endswith("\n")
    return [json.loads(line) for line in answer.text.splitlines()]


class TestLines:
    @pytest.mark.parametrize("method", NAMES)
    def test_the_last_is_the_usual_answer(self, client: TestClient, method: str) -> None:
        *told, last = lines(ask(client, method=method))
        assert last == ask(client, method=method, accept="application/json").json()
        assert told[0]["done"] == 0
        done = [each["done"] for each in told]
        assert done == sorted(set(done))
        assert len({each["of"] for each in told}) == 1
        assert done[-1] <= told[0]["of"]

    def test_a_step_is_a_line(self, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
        """Passes of all images, windows and predictions; not more often than is worth reading."""
        monkeypatch.setattr("service.responses.lines.LINE_SECONDS", 0)
        monkeypatch.setattr(explanation, "TELL_SECONDS", 0)
        *told, _ = lines(ask(client, window=1, stride=1))
        assert told[0] == {"done": 0, "of": 3 * (1 + 1 + 64)}
        assert len(told) > 3

    def test_proxies_do_not_wait_for_the_end(self, client: TestClient) -> None:
        headers = ask(client).headers
        assert headers["X-Accel-Buffering"] == "no"
        assert "Content-Length" not in headers

    @pytest.mark.parametrize(
        "accept",
        [
            "application/json",
            "*/*",
            "application/x-ndjson;q=0",
            "application/x-ndjson; q=0.0",
            f"application/json, image/png, {LINES}, application/problem+json",  # generated clients
            f"{LINES};q=0.5, application/json;q=0.5",
            f"{LINES};q=0.9, Application/JSON",
            f"{LINES};v=1;q=0.1, application/json;q=0.25",
        ],
    )
    def test_who_does_not_ask_for_lines_gets_none(self, client: TestClient, accept: str) -> None:
        answer = ask(client, accept=accept)
        assert answer.headers["Content-Type"] == "application/json"
        assert len(answer.json()["explanations"]) == 3

    @pytest.mark.parametrize(
        "accept",
        [
            f"application/json;q=0.5, {LINES}",
            LINES.upper(),
            f"*/*, {LINES}",
            f"{LINES}; q=0.5, application/json; q=0.499",
            f"{LINES};q=nonsense",
        ],
    )
    def test_other_ways_to_ask(self, client: TestClient, accept: str) -> None:
        assert "done" in lines(ask(client, accept=accept))[0]

    def test_the_document_tells_of_them(self, client: TestClient) -> None:
        operation = client.get("/openapi.json").json()["paths"]["/v1/models/{model}/explain"]
        content = operation["post"]["responses"]["200"]["content"]
        assert "done" in content[LINES]["schema"]["description"]
        assert LINES in operation["post"]["description"]


class TestErrors:
    @pytest.mark.parametrize(
        ("images", "params", "status"),
        [
            ([b"no image"], {}, 422),
            ([IMAGES[0][:-20]], {}, 422),
            ([], {"method": "magic"}, 422),
            ([], {"window": 9}, 422),
            ([], {"format": "npz"}, 422),
            ([], {"version": 99}, 404),
        ],
        ids=str,
    )
    def test_before_the_first_line(
        self, client: TestClient, images: list[bytes], params: dict[str, Any], status: int
    ) -> None:
        problem(ask(client, *images, **params), status)

    def test_a_deadline_is_the_last_line(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        explain, let_go = explanation.explain, threading.Event()

        def held(*arguments: Any, **options: Any) -> Any:
            assert let_go.wait(30)
            return explain(*arguments, **options)

        client = serve(progress_timeout=1)
        monkeypatch.setattr(explanation, "explain", held)
        with capture_logs() as logs:
            first, last = lines(ask(client))
        let_go.set()
        assert first["done"] == 0
        assert last["status"] == 504
        assert "setting progress_timeout" in last["detail"]
        assert last["instance"] == EXPLAIN
        [logged] = [each for each in logs if each["event"] == "request"]
        assert (logged["status"], logged["late_status"]) == (200, 504)
        counted = 'fanlight_late_problems_total{operation="explain",status="504"} 1.0'
        assert counted in client.get("/metrics").text
        assert lines(ask(client))[-1]["model"] == "colors"

    def test_who_hears_of_progress_may_wait_longer(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Longer than one who came later and hears of none."""
        explain, begun, let_go = explanation.explain, threading.Event(), threading.Event()

        def held(*arguments: Any, **options: Any) -> Any:
            begun.set()
            assert let_go.wait(30)
            return explain(*arguments, **options)

        client = serve(request_timeout=1)
        monkeypatch.setattr(explanation, "explain", held)
        with ThreadPoolExecutor() as pool:
            hearing = pool.submit(ask, client)
            assert begun.wait(30)
            problem(ask(client, accept="application/json"), 504)
            let_go.set()
            assert lines(hearing.result())[-1]["model"] == "colors"

    @pytest.mark.anyio
    async def test_the_end_of_the_server_is_the_last_line(self) -> None:
        """It waits for answers only so long, and then cancels them."""
        sent: list[Any] = []
        begun = asyncio.Event()

        async def work(told: Told) -> Response:
            told(0, 10)
            begun.set()
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Any) -> None:
            sent.append(message)

        scope: dict[str, Any] = {"path": EXPLAIN, "state": {"request_id": "a"}}
        answering = asyncio.create_task(Lines(work)(scope, AsyncMock(), send))
        await begun.wait()
        await until_async(lambda: len(sent) == 2)
        answering.cancel()
        await answering
        assert json.loads(sent[-1]["body"])["status"] == 503
        assert not sent[-1].get("more_body")
        assert scope[LATE] == 503

    @pytest.mark.anyio
    async def test_the_end_before_the_first_line_sends_nothing(self) -> None:
        send = AsyncMock()

        async def work(told: Told) -> Response:
            told(0, 10)
            answering.cancel()  # before anybody has taken the line
            await asyncio.Event().wait()
            raise AssertionError

        answering = asyncio.create_task(Lines(work)({"path": EXPLAIN}, AsyncMock(), send))
        with pytest.raises(asyncio.CancelledError):
            await answering
        send.assert_not_called()

    def test_what_is_unexpected_is_told_and_logged(
        self, client: TestClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: Any, **__: Any) -> Any:
            raise ZeroDivisionError

        monkeypatch.setattr(explanation, "explain", broken)
        with capture_logs() as logs:
            *_, last = lines(ask(client))
        assert last["status"] == 500
        [logged] = [each for each in logs if each["event"] == "unexpected error"]
        assert logged["request_id"] == last["request_id"]


class Watched:
    """Explanations that wait before each step until they are let go, with what became of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.started, self.abandoned, self.finished = 0, 0, 0
        self.let_go = threading.Event()
        explain = explanation.explain

        def watched(
            explainer: Any, images: Any, question: Any, step: Callable[..., None], **options: Any
        ) -> Any:
            self.started += 1

            def held(passes: int = 0) -> None:
                assert self.let_go.wait(30)
                step(passes)

            try:
                found = explain(explainer, images, question, held, **options)
            except explanation.AbandonedError:
                self.abandoned += 1
                raise
            self.finished += 1
            return found

        monkeypatch.setattr(explanation, "explain", watched)


@pytest.fixture
async def watched(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    import_module("captum.attr")  # which takes longer on a busy machine than a client waits
    watched = Watched(monkeypatch)
    yield watched
    watched.let_go.set()


def of(method: str) -> str:
    return f"{EXPLAIN}?method={method}"


async def begin(client: Client, method: str, **headers: str) -> None:
    """Ask for an explanation; with `Accept`, until its first line has come."""
    path = of(method)
    await client.send(post(form(IMAGES[0]), path=path, type=FORM, **headers))
    if headers:
        await asyncio.wait_for(client.reader.readuntil(b'{"done":0'), 10)


@pytest.mark.anyio
class TestWhoLeaves:
    @pytest.mark.parametrize("headers", [{"Accept": LINES}, {}], ids=["lines", "at once"])
    @pytest.mark.parametrize("method", NAMES)
    async def test_ends_the_work_at_its_next_step(
        self, serving: Serving, watched: Watched, method: str, headers: dict[str, str]
    ) -> None:
        async with serving() as client:
            leaving, before = await client.another(), asyncio.all_tasks()
            await begin(leaving, method, **headers)
            await until_async(lambda: watched.started == 1)
            await leaving.leave(abruptly=True)
            await until_async(lambda: asyncio.all_tasks() <= before)  # its request has ended
            watched.let_go.set()
            await until_async(lambda: watched.abandoned == 1)
            answer = await client.post(form(IMAGES[1]), path=of(method), type=FORM)
            assert answer.status == 200
            assert (watched.started, watched.finished) == (2, 1)

    @pytest.mark.parametrize("headers", [{"Accept": LINES}, {}], ids=["lines", "at once"])
    async def test_is_not_explained_if_still_waiting(
        self, serving: Serving, watched: Watched, headers: dict[str, str]
    ) -> None:
        """The neighbours, before and behind, get their answers."""
        async with serving() as client:
            first, leaving = await client.another(), await client.another()
            await begin(first, "saliency")
            await until_async(lambda: watched.started == 1)
            maps = client.app.state.inspector.places.maps
            await begin(leaving, "occlusion", **headers)
            await until_async(lambda: maps.taken == 2)
            await leaving.leave(abruptly=True)
            await until_async(lambda: maps.taken == 1)
            watched.let_go.set()
            assert (await first.answer()).status == 200
            answer = await client.post(
                form(IMAGES[1]), path=f"{EXPLAIN}?method=saliency", type=FORM
            )
            assert answer.status == 200
            assert (watched.started, watched.abandoned, watched.finished) == (2, 0, 2)

    async def test_predictions_are_answered_meanwhile(
        self, serving: Serving, watched: Watched
    ) -> None:
        async with serving() as client:
            explaining = await client.another()
            await begin(explaining, "occlusion", Accept=LINES)
            await until_async(lambda: watched.started == 1)
            assert (await client.post(IMAGES[1], path=PREDICTED)).status == 200
            assert watched.finished == 0
            watched.let_go.set()
            rest = await asyncio.wait_for(explaining.reader.readuntil(b"\r\n0\r\n\r\n"), 10)
            assert b'"explanations"' in rest
