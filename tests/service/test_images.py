"""Decoding: requests take turns, however large one of them is."""

import asyncio
import threading
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import pytest

from service import images
from service.images import Decoder
from service.settings import Settings
from service.uploads import Upload
from tests.networks import SPEC, encode, picture

pytestmark = pytest.mark.anyio


@pytest.fixture
async def decoder() -> AsyncIterator[Decoder]:
    decoder = Decoder(Settings(), threads=2)
    yield decoder
    decoder.close()


def upload(seed: int, filename: str = "") -> Upload:
    return Upload(BytesIO(encode(picture(seed))), "image/png", filename)


async def test_images_come_back_in_their_order(decoder: Decoder) -> None:
    pixels = await decoder.decode([upload(seed) for seed in range(20)], SPEC.pixels)
    for seed, each in enumerate(pixels):
        assert each.equal(SPEC.pixels(picture(seed)))


async def test_a_request_of_many_images_does_not_starve_one_of_one(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The single image waits for those that are being decoded, not for all hundred."""
    decoded: list[str] = []
    let_go = threading.Event()
    taken = images._taken

    def recorded(upload: Upload, *others: Any) -> Any:
        assert let_go.wait(30)
        decoded.append(upload.filename)
        return taken(upload, *others)

    monkeypatch.setattr(images, "_taken", recorded)
    many = asyncio.create_task(decoder.decode([upload(0, "many")] * 100, SPEC.pixels))
    await asyncio.sleep(0.05)
    single = asyncio.create_task(decoder.decode([upload(1, "single")], SPEC.pixels))
    await asyncio.sleep(0.05)
    let_go.set()
    await single
    assert decoded.index("single") <= 4
    many.cancel()
    await asyncio.wait([many])
