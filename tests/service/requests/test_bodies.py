"""Bodies: parts and chunks come together, and a large form lets others in while it is parsed."""

import asyncio

import pytest
from starlette.types import Message, Scope

from service.images.encoded import EncodedImage
from service.requests.bodies import FORM
from service.requests.reception import Receiver
from service.settings import Settings

pytestmark = pytest.mark.anyio


async def received(kind: str, chunks: list[bytes]) -> list[EncodedImage]:
    scope: Scope = {"headers": [(b"content-type", kind.encode())]}
    waiting = iter(chunks)
    left = len(chunks)

    async def receive() -> Message:
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": next(waiting), "more_body": left > 0}

    async with Receiver(Settings(max_images=128)).receive(scope, receive) as images:
        return images


def form(images: list[bytes]) -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
    return b"".join(head + image + b"\r\n" for image in images) + b"--x--\r\n"


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_chunks_are_joined(size: int) -> None:
    image, other = bytes(range(256)), b"other"
    body = form([image, b"", other])
    chunks = [body[i : i + size] for i in range(0, len(body), size)]
    found = await received(f"{FORM}; boundary=x", chunks)
    assert [each.encoded for each in found] == [image, b"", other]
    pieces = [image[i : i + size] for i in range(0, len(image), size)]
    assert await received("image/png", pieces) == [EncodedImage(image, "image/png", "")]


async def test_others_get_their_turn_while_a_large_form_is_parsed() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    images = await received(f"{FORM}; boundary=x", [form([b"image"] * 128)])
    counting.cancel()
    assert len(images) == 128
    assert turns >= 4
