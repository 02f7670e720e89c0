"""Costly files of each format: answered within the limits, whatever they hold much of."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from models.errors import ImageError
from models.images.formats import sniff
from service.errors import ServiceError
from service.images.decoding import MEMORY, MEMORY_PER_BYTE, Decoder
from service.images.encoded import EncodedImage
from service.settings import Settings
from tests.cases import one_in
from tests.networks import SPEC
from tests.service.images.costly import CASES

pytestmark = pytest.mark.anyio
OWN = 48 * 2**20  # bytes of a process that has done nothing

SKIPPED_OR_REFUSED = [  # of which nothing is decoded but a small picture, if anything
    "png_of_many_profiles",
    "png_of_empty_private_chunks",
    "png_of_empty_private_chunks_behind",
    "png_of_empty_pixel_chunks",
    "png_of_texts",
    "png_of_exif",
    "png_of_no_pixels",
    "jpeg_of_exif",
    "jpeg_of_profiles",
    "jpeg_of_photoshop",
    "jpeg_of_comments",
    "jpeg_of_padding",
    "jpeg_of_pictures",
    "webp_of_exif",
    "gif_of_empty_comments",
    "gif_of_small_blocks",
    "gif_of_controls",
    "gif_of_junk",
    "gif_of_a_small_picture",
    "gif_of_a_huge_picture",
    "tiff_of_tags",
    "tiff_of_no_pixels",
    "tiff_of_values",
    "ppm_of_comments",
    "heic_of_boxes",
    "heic_of_properties",
    "heic_of_a_huge_size",
    "bmp_of_no_pixels",
    "bmp_of_runs",
]


@pytest.fixture
async def decoder() -> AsyncIterator[Decoder]:
    decoder = Decoder(Settings(), processes=1)
    yield decoder
    decoder.close()


@pytest.mark.parametrize("name", SKIPPED_OR_REFUSED)
def test_metadata_and_false_sizes_cost_nothing(name: str) -> None:
    """What Pillow gets is small, or it gets nothing."""
    encoded = CASES[name]()
    format = sniff(encoded)
    assert format is not None
    try:
        essence = format.essence(encoded)
    except ImageError:
        return
    assert len(essence.encoded) < 5000
    assert essence.claim is not None
    assert essence.claim.pixels <= 64 * 64


@pytest.mark.slow
@pytest.mark.parametrize("name", one_in(3, CASES))
async def test_every_costly_file_is_answered_within_its_memory(name: str, decoder: Decoder) -> None:
    encoded = CASES[name]()
    format = sniff(encoded)
    claim = format.claim(encoded) if format else None
    pixels = min(claim.pixels if claim else 0, 25_000_000)
    allowed = MEMORY + MEMORY_PER_BYTE * len(encoded) + OWN
    allowed += (format.memory if format else 0) * pixels
    decoding = asyncio.create_task(decoder.pixels([EncodedImage(encoded, "", "")], SPEC))
    highest = 0
    while not decoding.done():
        await asyncio.wait([decoding], timeout=0.005)
        highest = max(highest, *map(peak, decoders()), 0)
    assert highest <= allowed
    error = decoding.exception()
    if error is not None:
        assert isinstance(error, ServiceError)
        assert error.status in (413, 415, 422, 503)


def decoders() -> list[str]:
    """All descendants of this process."""
    found: list[str] = []
    level = ["self"]
    while level:
        level = [child for process in level for child in children(process)]
        found += level
    return found or ["self"]


def children(process: str) -> list[str]:
    try:
        tasks = list(Path(f"/proc/{process}/task").iterdir())
        return [child for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []


def peak(process: str) -> int:
    """The most bytes that a process has had; 0 for this one and for one that has ended."""
    if process == "self":
        return 0
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)
