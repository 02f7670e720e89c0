"""Decoding: requests take turns, however large one of them is."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from PIL import Image

from models.images import decoding
from models.images.framing import RULES
from models.preprocessing import FramingRule, InputSpec, decode
from service.errors import InvalidInputError, QueueFullError, ServiceError
from service.images.decoder_process import Job
from service.images.decoders import TOO_LONG, EndedError, Lane, Process
from service.images.decoding import Decoder
from service.images.encoded import EncodedImage
from service.process import event_loop
from service.setting_values import units
from service.settings import Settings
from tests.models.images.framing.pictures import laid, likeness, seven
from tests.networks import SPEC, encode, picture
from tests.waiting import until_async

pytestmark = pytest.mark.anyio


@pytest.fixture
async def decoder() -> AsyncIterator[Decoder]:
    decoder = Decoder(Settings(), processes=2)
    yield decoder
    decoder.close()


@pytest.mark.slow
async def test_a_framing_rule_is_followed_in_the_processes(decoder: Decoder) -> None:
    """Within their limits of memory and time; the box tells where the subject is."""
    rule = FramingRule.model_validate(RULES["digits"]._asdict())
    framed = InputSpec(channels=1, height=28, width=28, framing=rule)
    sheet = laid((1000, 800), (600, 100), 150, (20, 20, 60), (240, 240, 235))
    uploads = [EncodedImage(encode(sheet, format), "", "") for format in ("PNG", "JPEG", "WEBP")]
    for pixels in await decoder.pixels(uploads, framed):
        assert likeness(pixels[0], seven()) > 0.9
    for each in await decoder.decode_with_original(uploads, framed):
        assert each.box == pytest.approx((0.6, 0.125, 0.75, 0.3125), abs=0.02)
        assert likeness(each.pixels[0], seven()) > 0.9


def upload(seed: int, format: str = "PNG") -> EncodedImage:
    return EncodedImage(encode(picture(seed), format), "", "")


@pytest.mark.slow
async def test_images_come_back_in_their_order(decoder: Decoder) -> None:
    formats = ["PNG", "BMP", "PNG", "WEBP"] * 5  # decoded at once, and by processes
    uploads = [upload(seed, format=format) for seed, format in enumerate(formats)]
    pixels = await decoder.pixels(uploads, SPEC)
    for each, sent in zip(pixels, uploads, strict=True):
        assert (each == SPEC.array(decode(sent.encoded))).all()


@pytest.mark.slow
async def test_a_request_of_many_images_does_not_starve_one_of_one(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The single image waits for those that are being decoded, not for all hundred."""
    begun: list[bytes] = []
    decoded: list[bytes] = []
    let_go = asyncio.Event()
    run = Process.run

    async def recorded(process: Process, job: Job, encoded: bytes) -> tuple[int, bytes]:
        begun.append(encoded)
        await let_go.wait()
        decoded.append(encoded)
        return await run(process, job, encoded)

    monkeypatch.setattr(Process, "run", recorded)
    one, other = upload(0, format="BMP"), upload(1, format="BMP")
    many = asyncio.create_task(decoder.pixels([other] * 100, SPEC))
    await until_async(lambda: len(begun) == 2)  # both processes are busy
    single = asyncio.create_task(decoder.pixels([one], SPEC))
    await until_async(lambda: decoder.waiting == 101)
    let_go.set()
    await single
    assert decoded.index(one.encoded) <= 4
    many.cancel()
    await asyncio.wait([many])


NOISE = Image.effect_noise((600, 600), 100)
SMALL, LARGE = Image.new("RGB", (64, 64), "teal"), Image.new("RGB", (1100, 1100), "teal")
EXIF = Image.Exif()
EXIF[0x010E] = "x" * 9000  # Pillow reads it in Python, which may take long


@pytest.mark.slow
@pytest.mark.parametrize(
    ("processes", "image", "options", "here"),
    [
        (1, SMALL, {}, True),
        (1, SMALL.convert("L"), {}, True),
        (2, SMALL, {}, False),
        (1, SMALL, {"progressive": True}, False),
        (1, LARGE, {}, False),
        (1, NOISE, {}, False),
        (1, SMALL.convert("CMYK"), {}, False),
        (1, SMALL, {"exif": EXIF}, False),
    ],
    ids=["usual", "grey", "two processes", "scans", "pixels", "bytes", "components", "metadata"],
)
async def test_usual_jpegs_are_decoded_at_once_where_a_process_would_only_take_turns(
    processes: int,
    image: Image.Image,
    options: dict[str, Any],
    here: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read_here: list[bytes] = []
    read = decoding.read

    def recorded(encoded: bytes, *arguments: Any, **named: Any) -> Any:
        read_here.append(encoded)
        return read(encoded, *arguments, **named)

    monkeypatch.setattr(decoding, "read", recorded)
    sent = EncodedImage(encode(image, "JPEG", **options), "image/jpeg", "")
    decoder = Decoder(Settings(), processes)
    [pixels] = await decoder.pixels([sent], SPEC)
    expected = read(sent.encoded, SPEC)
    assert read_here == [sent.encoded] * here
    assert (pixels == expected).all()
    alone = decoder.decode_now([sent], SPEC)
    assert (alone is not None) == here
    if alone is not None:
        assert (alone[0] == expected).all()
        assert decoder.decode_now([sent] * 2, SPEC) is None
    decoder.close()


async def test_a_few_small_images_are_decoded_at_once(decoder: Decoder) -> None:
    uploads = [upload(seed) for seed in range(event_loop.IMAGES_IN_A_ROW)]
    found = decoder.decode_now(uploads, SPEC)
    assert found is not None
    for each, pixels in zip(uploads, found, strict=True):
        assert (pixels == SPEC.array(decode(each.encoded))).all()
    assert decoder.decode_now([*uploads, upload(9)], SPEC) is None
    assert decoder.decode_now([uploads[0], upload(9, format="BMP")], SPEC) is None


@pytest.mark.parametrize(
    ("format", "options", "size", "seconds", "advice"),
    [
        ("JPEG", {}, 23_600_000, 0.59, "or at a lower quality"),
        ("JPEG", {}, 4_000_000, 0.25, "or at a lower quality"),
        ("JPEG", {"progressive": True}, 18_000_000, 0.45, "or as a baseline JPEG"),
        ("TIFF", {}, 12_000_000, 0.3, "or as a baseline JPEG"),
        ("HEIF", {}, 12_000_000, 1.0, "or as a baseline JPEG"),
    ],
)
async def test_the_time_of_an_image_grows_with_its_bytes(
    decoder: Decoder,
    monkeypatch: pytest.MonkeyPatch,
    format: str,
    options: dict[str, Any],
    size: int,
    seconds: float,
    advice: str,
) -> None:
    """A decoder spends its time on bytes as well as on pixels. The advice is not what it is."""
    allowed = []

    async def too_slow(
        lane: Lane, job: Job, encoded: bytes, client: str | None
    ) -> tuple[int, bytes]:
        allowed.append(job.seconds)
        raise EndedError(TOO_LONG, late=False)

    monkeypatch.setattr(Lane, "run", too_slow)
    encoded = encode(picture(0, (64, 64)), format, **options).ljust(size, b"\0")
    with pytest.raises(InvalidInputError) as error:
        await decoder.pixels([EncodedImage(encoded, "", "")], SPEC)
    assert allowed == pytest.approx([seconds - 0.01])
    assert error.value.detail.endswith(
        f"64 × 64 pixels in {size:,} bytes take more than {units.show_seconds(seconds)} of "
        f"processor time to decode (setting max_decode_time); send it with fewer pixels, {advice}"
    )


@pytest.mark.parametrize("broken", [False, True])
async def test_an_image_that_would_wait_too_long_is_not_called_invalid(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    async def refused(
        lane: Lane, job: Job, encoded: bytes, client: str | None
    ) -> tuple[int, bytes]:
        raise QueueFullError("others wait")

    monkeypatch.setattr(Lane, "run", refused)
    large = EncodedImage(encode(picture(0, (300, 300)), "BMP"), "", "")
    unknown = EncodedImage(b"no image", "", "")
    with pytest.raises(ServiceError) as error:
        await decoder.pixels([unknown, large] if broken else [large, large], SPEC)
    if broken:
        assert error.value.status == 415
        assert "image 0" in error.value.detail
        assert "image 1" not in error.value.detail
    else:
        assert (error.value.status, error.value.detail) == (429, "others wait")


async def test_a_refused_request_is_not_decoded_on(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def refused(
        lane: Lane, job: Job, encoded: bytes, client: str | None
    ) -> tuple[int, bytes]:
        asked.append(client)
        await asyncio.sleep(0)
        raise QueueFullError("others wait")

    monkeypatch.setattr(Lane, "run", refused)
    large = EncodedImage(encode(picture(0, (300, 300)), "BMP"), "", "")
    with pytest.raises(QueueFullError):
        await decoder.pixels([large] * 20, SPEC, "a client")
    assert len(asked) <= 2  # one for each process
    assert set(asked) == {"a client"}
