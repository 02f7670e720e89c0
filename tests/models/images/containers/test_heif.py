"""AVIF and HEIC: what their boxes say, and what their decoders then find."""

import struct

import numpy as np
import pytest
from PIL import Image

from models.errors import ImageError, TooManyPixelsError
from models.images import heif as plugins
from models.images.containers import heif
from models.images.decoding import decode, read
from models.images.formats import FORMATS
from models.images.scaling import Frame
from tests.networks import encode

plugins.register_heic()
SIZE = (96, 64)
GRADIENT = Image.merge("RGB", [Image.linear_gradient("L").resize(SIZE)] * 3)
LEFT_WHITE = Image.new("RGB", SIZE)
LEFT_WHITE.paste("white", (0, 0, 20, 64))
FILES = {name: encode(GRADIENT, name) for name in ("AVIF", "HEIF")}
EACH = pytest.mark.parametrize("name", FILES)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def file_of(*sizes: tuple[int, int], brand: bytes = b"heic", more: bytes = b"") -> bytes:
    """A file whose boxes claim these sizes, and that holds no picture."""
    ispe = b"".join(box(b"ispe", bytes(4) + struct.pack(">2I", *size)) for size in sizes)
    meta = box(b"meta", bytes(4) + box(b"iprp", box(b"ipco", ispe)))
    return box(b"ftyp", brand + bytes(4) + brand) + meta + more


def turn(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


@EACH
def test_pictures_are_read(name: str) -> None:
    found = decode(FILES[name])
    assert found.size == SIZE
    assert np.abs(np.asarray(found).astype(int) - np.asarray(GRADIENT)).max() < 16


@EACH
@pytest.mark.parametrize("mode", ["L", "RGBA", "LA"])
def test_modes(name: str, mode: str) -> None:
    """Where the picture is transparent it is white."""
    image = GRADIENT.convert(mode)
    if "A" in mode:
        image.putalpha(Image.new("L", SIZE, 0))
    found = np.asarray(decode(encode(image, name)).convert("L")).astype(int)
    expected = np.full(found.shape, 255) if "A" in mode else np.asarray(GRADIENT.convert("L"))
    assert np.abs(found - expected).max() < 16


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@EACH
def test_it_is_turned_once(name: str, orientation: int) -> None:
    """Writers keep the orientation in the container, as telephones do, and it stands above EXIF
    (ISO/IEC 23008-12, 6.5.10)."""
    found, expected = (
        decode(encode(LEFT_WHITE, each, exif=turn(orientation))) for each in (name, "PNG")
    )
    assert found.size == expected.size
    assert np.abs(np.asarray(found).astype(int) - np.asarray(expected)).max() < 40


@EACH
def test_size_and_work_are_read_from_the_boxes(name: str) -> None:
    [format] = [each for each in FORMATS if each.pillow == name]
    claim = format.claim(FILES[name])
    assert claim is not None
    assert (claim.width, claim.height) == SIZE
    assert claim.work > 2 * claim.pixels
    with pytest.raises(TooManyPixelsError, match="96 × 64 pixels; the limit is 100 in all"):
        decode(FILES[name], max_pixels=100)


def test_the_largest_claim_counts() -> None:
    claim = heif.heic_claim(file_of((8, 8), (4000, 3000), (512, 512), more=bytes(2**20)))
    assert claim is not None
    assert (claim.width, claim.height) == (4000, 3000)


def test_a_film_says_nothing_of_its_size() -> None:
    film = box(b"ftyp", b"avis" + bytes(8)) + box(b"moov", b"")
    assert heif.avif_claim(film) is None
    assert heif.avif_essence(film).claim is None


@pytest.mark.parametrize(
    ("encoded", "text"),
    [
        (file_of((8, 8))[:-4], "cut off in a box"),
        (file_of((8, 8), more=struct.pack(">I4s", 9000, b"mdat")), "cut off in a box"),
        (file_of((8, 8), more=struct.pack(">I4sQ", 1, b"mdat", 2**63)), "cut off in a box"),
        (file_of((8, 8), more=struct.pack(">I4s", 3, b"mdat")), "cut off in a box"),
        (file_of(), "no picture in the boxes"),
        (box(b"ftyp", b"heic" + bytes(8)), "no picture in the boxes"),
        (file_of((8, 8), more=box(b"free", b"") * 1001), "more than 1,000 boxes"),
        (file_of((16_000, 10_000)), "may have 50,000 pixels a byte"),
    ],
)
def test_what_is_false_is_refused(encoded: bytes, text: str) -> None:
    with pytest.raises(ImageError, match=text):
        heif.heic_essence(encoded)


@EACH
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_files_that_are_cut_off(name: str, kept: float) -> None:
    encoded = FILES[name]
    with pytest.raises(ImageError, match="corrupt or truncated"):
        decode(encoded[: int(kept * len(encoded))])


@EACH
def test_a_false_size_gives_no_pixels(name: str) -> None:
    """The boxes claim another size than the codec's own header has."""
    true, false = (struct.pack(">2I", *size) for size in (SIZE, (64, 640)))
    with pytest.raises(ImageError):
        read(FILES[name].replace(true, false), Frame(3, 8, 8, "crop"), max_pixels=10_000)


def test_a_thumbnail_is_never_taken_for_the_picture() -> None:
    encoded = encode(LEFT_WHITE.resize((640, 480)), "HEIF", thumbnails=[64])
    assert decode(encoded, at_least=16).size == (640, 480)
