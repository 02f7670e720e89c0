"""A server that generated clients call, and that remembers which images it got."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.repository_paths import SHIPPED
from service.app import create_app
from service.images.decoding import Decoder
from service.images.encoded import EncodedImage
from service.settings import Settings
from tests.e2e.servers import in_thread


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The SHA-256 of every image whose pixels the server wants."""
    digests: list[str] = []
    pixels = Decoder.pixels

    async def recorded(decoder: Decoder, uploads: list[EncodedImage], *others: Any) -> Any:
        digests.extend(hashlib.sha256(each.encoded).hexdigest() for each in uploads)
        return await pixels(decoder, uploads, *others)

    monkeypatch.setattr(Decoder, "pixels", recorded)
    return digests


@pytest.fixture
def url(received: list[str]) -> Iterator[str]:
    with in_thread(create_app(Settings(repository=(SHIPPED,), device="cpu"))) as url:
        yield url


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A file that is no image."""
    path = tmp_path / "broken.png"
    path.write_bytes(b"broken")
    return path
