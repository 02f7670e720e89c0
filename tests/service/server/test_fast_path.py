"""Predictions that are answered without a task: as the application would, and only if usual."""

import asyncio
import json
from base64 import b64encode
from typing import Any

import pytest
from PIL import Image

from tests.networks import encode, picture
from tests.service.connections import (
    FORM,
    IMAGE,
    PREDICT,
    UVLOOP,
    Answered,
    Client,
    Serving,
    form,
    post,
)

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", [UVLOOP]),
    pytest.mark.slow,
]
JPEG = encode(picture(0), "JPEG")


def as_json(*images: bytes) -> bytes:
    return json.dumps({"images": [b64encode(each).decode() for each in images]}).encode()


USUAL: list[dict[str, Any]] = [
    {},
    {"path": f"{PREDICT}?top_k=1"},
    {"path": f"{PREDICT}?version=1&top_k=2"},
    {"body": form(IMAGE), "type": FORM},
    {"body": form(IMAGE, encode(picture(1)), encode(picture(2, (20, 9)))), "type": FORM},
    {"X_Request_ID": "mine"},
    *({"type": each} for each in ("image/jpeg", "image/*", "text/plain", "")),
    *({"type": each} for each in ("application/octet-stream", "application/x-www-form-urlencoded")),
    {"body": form(IMAGE).replace(b"images", b"files[]"), "type": FORM},
    {"body": form(IMAGE).replace(b'; filename="a"', b""), "type": FORM},
    {"body": as_json(IMAGE), "type": "application/json"},
    {"body": as_json(IMAGE, encode(picture(1))), "type": "application/json; charset=utf-8"},
]
UNUSUAL: list[dict[str, Any]] = [
    {"body": JPEG, "type": "image/jpeg"},
    {"body": form(IMAGE, JPEG), "type": FORM},
    {"body": form(*[IMAGE] * 5), "type": FORM},
    {"body": as_json(JPEG), "type": "application/json"},
    {"body": as_json(*[IMAGE] * 30), "type": "application/json"},
    {"path": PREDICT.replace("colors", "c%6flors")},
    {"Connection": "close"},
    {"version": "1.0", "Connection": "keep-alive"},
    {"path": f"{PREDICT}?top_k={'0' * 300}2"},
    {"path": f"{PREDICT}?top_k=1#&top_k=3"},
    {"path": f"http://x{PREDICT}?top_k=1"},
]
WRONG: list[dict[str, Any]] = [
    {"path": f"{PREDICT}?topk=1"},
    {"path": f"{PREDICT}?top_k=1&top_k=2"},
    {"path": f"{PREDICT}?top_k=2&unused={'a' * 300}"},
    {"body": b""},
    {"body": IMAGE[:60]},
    {"body": b"nothing", "type": "image/jpeg"},
    {"body": b"nothing", "type": "text/plain"},
    {"body": b"nothing", "type": FORM},
    {"body": b"nothing", "type": "application/json"},
    {"body": as_json(b"nothing"), "type": "application/json"},
    {"body": b'{"images": ["http://x/a.png"]}', "type": "application/json"},
    {"body": form(IMAGE).replace(b"images", b"picture"), "type": FORM},
    {"body": form(b"text").replace(b'; filename="a"', b""), "type": FORM},
    {"body": form(IMAGE, b"nothing"), "type": FORM},
    {"path": f"{PREDICT}?top_k=0"},
    {"path": f"{PREDICT}?version=9"},
    {"path": PREDICT.replace("colors", "none")},
    {"path": PREDICT.replace("predict", "preditc")},
    {"body": form(IMAGE, IMAGE, IMAGE), "type": FORM},
    {"body": encode(picture(0, (5, 13)))},
    {"body": IMAGE + bytes(1024)},
]


async def compare(client: Client, request: dict[str, Any], usual: bool) -> Answered:
    """The answer, after checking that the application gives the same."""
    client.taken.clear()
    own = await (await client.another()).post(**request)
    assert any(client.taken) == usual, request
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client.app.fast_path, "take", lambda *_: None)
        other = await (await client.another()).post(**request)
    assert (own.told, own.status) == (other.told, other.status)
    assert own.headers.keys() == other.headers.keys()
    for name in own.headers.keys() - {"date", "server-timing", "x-request-id", "content-length"}:
        assert own.headers[name] == other.headers[name]
    return own


@pytest.mark.parametrize(("requests", "usual"), [(USUAL, True), (UNUSUAL, False)])
async def test_answers_are_those_of_the_application(
    serving: Serving, requests: list[dict[str, Any]], usual: bool
) -> None:
    async with serving() as client:
        for request in requests:
            assert (await compare(client, request, usual)).status == 200


async def test_usual_jpegs_are_taken_where_a_thread_would_only_take_turns(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.process.cpu.available_cpus", lambda: 1)
    photograph = encode(picture(0, (200, 200)), "JPEG")
    assert len(photograph) > 2**14
    usual: list[dict[str, Any]] = [
        {"body": photograph, "type": "image/jpeg"},
        {"body": form(photograph), "type": FORM},
        {"type": "image/png"},
    ]
    unusual: list[dict[str, Any]] = [
        {"body": form(JPEG, JPEG), "type": FORM},
        {"body": encode(picture(0), "JPEG", progressive=True), "type": "image/jpeg"},
        {"body": encode(picture(0), "BMP"), "type": "image/bmp"},
        {"body": encode(Image.new("RGB", (1100, 1100)), "JPEG"), "type": "image/jpeg"},
    ]
    broken: list[dict[str, Any]] = [
        {"body": photograph[:-999], "type": "image/jpeg"},
        {"body": form(photograph[:-999]), "type": FORM},
    ]
    wrong: list[dict[str, Any]] = [
        {"body": b"no photograph", "type": "text/plain"},
        {"body": encode(Image.new("RGB", (3000, 1000)), "BMP"), "type": "image/jpeg"},
    ]
    async with serving(max_image_pixels=2_000_000) as client:
        for requests, taken, status in (
            (usual, True, 200),
            (unusual, False, 200),
            (broken, True, 422),  # which isn't decoded twice
        ):
            for request in requests:
                assert (await compare(client, request, taken)).status == status
        for request in wrong:
            assert (await compare(client, request, False)).status >= 400


async def test_errors_are_those_of_the_application(serving: Serving) -> None:
    async with serving(max_images=2, max_image_pixels=64, max_body_bytes=1024) as client:
        for request in WRONG:
            assert (await compare(client, request, False)).status >= 400


async def test_the_key_is_asked_for(serving: Serving) -> None:
    async with serving(api_key="secret") as client:
        for given, status in (({}, 401), ({"Authorization": "Bearer wrong"}, 401),
                              ({"Authorization": "Bearer secret"}, 200)):  # fmt: skip
            assert (await compare(client, given, status == 200)).status == status


async def test_bodies_in_pieces_and_large_ones_are_left_to_the_application(
    serving: Serving,
) -> None:
    async with serving() as client:
        whole = await client.post()
        sent = post()
        for cut in (len(sent) - 1, len(sent) - len(IMAGE), len(sent) - len(IMAGE) + 1):
            await client.send(sent[:cut])
            client.writer.write(sent[cut:])
            assert (await client.answer()).told == whole.told
        large = encode(picture(0, size=(100, 100)))
        assert len(large) > client.app.state.decoder.quick_bytes
        assert (await client.post(large)).status == 200
        assert client.taken == [True, False]


async def test_chunks_that_arrive_together_are_one_piece(serving: Serving) -> None:
    async with serving() as client:
        whole = await client.post()
        head = post().partition(b"Content-Length")[0] + b"Transfer-Encoding: chunked\r\n\r\n"
        halves = IMAGE[:30], IMAGE[30:]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(half), half) for half in halves)
        client.writer.write(head + chunks + b"0\r\n\r\n")
        assert (await client.answer()).told == whole.told
        assert client.taken == [True, True]


async def test_chunks_that_are_too_much_are_refused(serving: Serving) -> None:
    async with serving(max_body_bytes=1024) as client:
        head = post().partition(b"Content-Length")[0] + b"Transfer-Encoding: chunked\r\n\r\n"
        client.writer.write(head + (b"258\r\n%b\r\n" % bytes(600)) * 2 + b"0\r\n\r\n")
        answer = await client.answer()
        assert answer.status == 413
        assert "max_body_bytes" in answer.told["detail"]
        assert client.taken == [False]


async def test_who_asks_whether_to_go_on_is_told_first(serving: Serving) -> None:
    async with serving() as client:
        sent = post(Expect="100-continue")
        client.writer.write(sent[: -len(IMAGE)])
        told = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 5)
        assert told == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.writer.write(IMAGE)
        assert (await client.answer()).status == 200
        assert client.taken == []


@pytest.mark.parametrize("offer", ["h2c", "websocket", "something/1"])
async def test_an_offer_to_upgrade_is_ignored(serving: Serving, offer: str) -> None:
    """The body is read, and answered as without the offer (RFC 9110, 7.8)."""
    async with serving() as client:
        upgrade = {"Connection": "Upgrade", "Upgrade": offer}
        assert (await compare(client, upgrade, usual=True)).status == 200


@pytest.mark.parametrize("url", ["http://host", "http://h:99999/x", "http://[::1/x", "/\x80"])
@pytest.mark.parametrize("pieces", [1, 2])
async def test_an_address_that_is_none_is_told(serving: Serving, url: str, pieces: int) -> None:
    async with serving() as client:
        sent = post(path=url).decode("latin-1").encode("latin-1")
        cut = len(sent) if pieces == 1 else len(sent) - 5
        await client.send(sent[:cut])
        client.writer.write(sent[cut:])
        assert (await client.reader.readline()).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("cut", [10_000, -5])
async def test_trailers_say_nothing(serving: Serving, cut: int) -> None:
    async with serving(api_key="secret") as client:
        head = post().partition(b"Content-Length")[0] + b"Transfer-Encoding: chunked\r\n\r\n"
        trailer = b"Authorization: Bearer secret\r\nContent-Type: text/plain\r\n\r\n"
        sent = head + b"%x\r\n%b\r\n0\r\n" % (len(IMAGE), IMAGE) + trailer
        await client.send(sent[:cut])
        client.writer.write(sent[cut:] if cut < 0 else b"")
        assert (await client.answer()).status == 401
