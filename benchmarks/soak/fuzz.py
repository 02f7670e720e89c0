"""Mutated images of all formats through the decoder: `python -m benchmarks.soak.fuzz`.

    seed, number → a small image of one format → mutations → `Decoder` → an outcome

The decoder may give pixels or a `ServiceError`, within its limits. A crash of a decoder's process
costs one request its answer, and is counted; anything else that is raised is a failure, and so are
a process that takes more memory than a job may have and a service that grows. Input number N of a
seed can be made again: `mutated(seed, N)`.
"""

import argparse
import asyncio
import random
import struct
import time
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import structlog
from PIL import Image

from models.images import heif
from models.preprocessing import InputSpec
from service.errors import ServiceError
from service.images.decoding import Decoder
from service.images.encoded import EncodedImage
from service.settings import Settings

COUNT = 200_000
MAX_PIXELS = 4_000_000  # few, so that one image takes milliseconds
TOGETHER = 16  # inputs that are decoded at once
SPEC = InputSpec(channels=3, height=32, width=32)
MAX_PEAK = 300 * 2**20  # bytes of a decoder's process: 24 MiB of its own and of a job's
MAX_GROWTH = 64 * 2**20  # bytes of the service in a run
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF)
Mutation = Callable[[bytearray, random.Random], None]


@dataclass
class Report:
    """The counts, failures and maxima of a run over many inputs."""

    inputs: int = 0
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)  # format and outcome
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0  # seconds of one input, with the time that it waited
    seconds: float = 0.0
    peak: int = 0  # bytes of a decoder's process
    growth: int = 0  # bytes of the service

    def lines(self) -> list[str]:
        formats = sorted({name for name, _ in self.outcomes})
        kinds = sorted({kind for _, kind in self.outcomes})
        rows = [f"{'format':8}" + "".join(f"{kind:>10}" for kind in kinds)]
        rows += [
            f"{name:8}" + "".join(f"{self.outcomes[name, kind]:10,}" for kind in kinds)
            for name in formats
        ]
        return [
            *rows,
            f"{self.inputs:,} inputs in {self.seconds:.0f} s; the slowest took "
            f"{1e3 * self.slowest:.0f} ms with {TOGETHER} at once",
            f"a decoder's process had at most {self.peak / 2**20:.0f} MiB, the service grew by "
            f"{self.growth / 2**20:.0f} MiB",
            f"failures: {len(self.failures)}",
            *self.failures[:20],
        ]


@cache
def originals() -> tuple[tuple[str, bytes], ...]:
    """Small images of each format, in the kinds that it has."""
    heif.register_heic()
    levels = np.random.default_rng(0).integers(0, 256, (13, 17, 4), dtype=np.uint8)
    image = Image.fromarray(levels).resize((48, 40), Image.Resampling.BICUBIC)
    colours, grey = image.convert("RGB"), image.convert("L")
    palette = colours.convert("P", palette=Image.Palette.ADAPTIVE)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    kinds: list[tuple[str, Image.Image, dict[str, object]]] = [
        ("PNG", colours, {"exif": exif, "icc_profile": b"profile" * 40}),
        *(("PNG", each, {}) for each in (grey, palette, image, deep, grey.convert("1"))),
        ("PNG", palette, {"transparency": 3}),
        ("PNG", colours, {"save_all": True, "append_images": [colours.rotate(90)]}),
        ("JPEG", colours, {"exif": exif, "comment": b"a comment"}),
        ("JPEG", colours, {"progressive": True, "icc_profile": b"profile" * 40}),
        ("JPEG", grey, {"restart_marker_blocks": 2}),
        ("JPEG", image.convert("CMYK"), {}),
        ("WEBP", colours, {"exif": exif}),
        ("WEBP", colours, {"lossless": True}),
        ("WEBP", image, {"lossless": True}),
        ("WEBP", image, {"quality": 40}),
        ("WEBP", colours, {"save_all": True, "append_images": [colours.rotate(90)]}),
        ("GIF", palette, {"transparency": 3, "comment": b"a comment"}),
        ("GIF", grey, {"interlace": 0}),
        ("GIF", colours, {"save_all": True, "append_images": [colours.rotate(90)]}),
        *(("BMP", each, {}) for each in (colours, grey, palette, image, grey.convert("1"))),
        ("TIFF", colours, {"compression": "tiff_lzw"}),
        ("TIFF", deep, {}),
        ("TIFF", palette, {"compression": "tiff_adobe_deflate", "big_tiff": True}),
        ("TIFF", colours, {"save_all": True, "append_images": [colours.rotate(90)]}),
        ("AVIF", colours, {"speed": 10, "exif": exif.tobytes()}),
        ("AVIF", image, {"speed": 10}),
        ("AVIF", colours, {"speed": 10, "save_all": True, "append_images": [colours.rotate(90)]}),
        ("HEIF", colours, {"exif": exif.tobytes()}),
        ("HEIF", image, {}),
        ("HEIF", grey, {"save_all": True, "append_images": [grey.rotate(90)]}),
        ("PPM", colours, {}),
    ]
    found = []
    for format, picture, options in kinds:
        buffer = BytesIO()
        picture.save(buffer, format, **options)
        found.append((format, buffer.getvalue()))
    return tuple(found)


def _flip(encoded: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 1, 2, 8, 64))):
        encoded[chance.randrange(len(encoded))] ^= 1 << chance.randrange(8)


def _set(encoded: bytearray, chance: random.Random) -> None:
    encoded[chance.randrange(len(encoded))] = chance.choice((0, 0xFF, chance.randrange(256)))


def _number(encoded: bytearray, chance: random.Random) -> None:
    """Write an extreme number over some bytes, more often near the beginning."""
    form = chance.choice(("<H", ">H", "<I", ">I"))
    most = len(encoded) if chance.random() < 0.5 else min(64, len(encoded))
    packed = struct.pack(form, chance.choice(EDGES) & (0xFFFF if form[1] == "H" else 0xFFFF_FFFF))
    place = chance.randrange(most)
    encoded[place : place + len(packed)] = packed


def _cut(encoded: bytearray, chance: random.Random) -> None:
    del encoded[chance.randrange(len(encoded)) :]


def _delete(encoded: bytearray, chance: random.Random) -> None:
    place = chance.randrange(len(encoded))
    del encoded[place : place + chance.choice((1, 2, 4, 16, 256))]


def _repeat(encoded: bytearray, chance: random.Random) -> None:
    """Repeat a part, which may be a block, a scan or a frame."""
    place = chance.randrange(len(encoded))
    part = encoded[place : place + chance.choice((1, 2, 4, 12, 64, 256))]
    encoded[place:place] = part * chance.choice((1, 2, 10, 200))


def _insert(encoded: bytearray, chance: random.Random) -> None:
    place = chance.randrange(len(encoded) + 1)
    encoded[place:place] = chance.randbytes(chance.choice((1, 2, 8, 100)))


def _splice(encoded: bytearray, chance: random.Random) -> None:
    """Replace the end by that of another image, perhaps of another format."""
    _, other = chance.choice(originals())
    place = chance.randrange(len(encoded))
    encoded[place:] = other[chance.randrange(len(other)) :]


MUTATIONS: tuple[Mutation, ...] = (
    _flip,
    _flip,
    _set,
    _number,
    _number,
    _cut,
    _delete,
    _repeat,
    _insert,
    _splice,
)


def mutated(seed: int, number: int) -> tuple[str, bytes]:
    """Input `number`: its format before the mutations, and the bytes."""
    chance = random.Random(seed * 2**32 + number)
    format, original = chance.choice(originals())
    encoded = bytearray(original)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 5))):
        if encoded:
            chance.choice(MUTATIONS)(encoded, chance)
    if format == "PNG" and chance.random() < 0.7:  # or the checksums end most of them
        _mend(encoded)
    return format, bytes(encoded)


def _mend(encoded: bytearray) -> None:
    """Correct the checksums of the chunks of a PNG."""
    position = 8
    while position + 12 <= len(encoded):
        stop = position + 8 + int.from_bytes(encoded[position : position + 4])
        if stop + 4 > len(encoded):
            return
        checksum = zlib.crc32(encoded[position + 4 : stop])
        encoded[stop : stop + 4] = checksum.to_bytes(4)
        position = stop + 4


def _memory(process: str, key: str) -> int:
    """Return the bytes of the figure `key`, such as VmRSS, of a process; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(key)), 0)


def _decoders() -> list[str]:
    """Return the ids of the decoder processes: all descendants of this process, on Linux."""
    found: list[str] = []
    level = ["self"]
    while level:
        children: list[str] = []
        for process in level:
            for file in Path(f"/proc/{process}/task").glob("*/children"):
                try:
                    children += file.read_text().split()
                except OSError:  # it has ended
                    continue
        found, level = found + children, children
    return found


async def _decode(decoder: Decoder, seed: int, number: int, report: Report) -> None:
    format, encoded = mutated(seed, number)
    started = time.perf_counter()
    try:
        [pixels] = await decoder.pixels([EncodedImage(encoded, "", "")], SPEC)
        outcome = "pixels" if pixels.shape == SPEC.shape else "shape"
    except ServiceError as error:
        outcome = str(error.status)
        if "crashed" in error.detail:
            outcome = "crashed"
    except Exception as error:
        outcome = "raised"
        report.failures.append(f"mutated({seed}, {number}), {format}: {error!r}")
    report.outcomes[format, outcome] += 1
    report.slowest = max(report.slowest, time.perf_counter() - started)
    report.inputs += 1


async def _run(count: int, seed: int, seconds: float) -> Report:
    report = Report()
    started = time.monotonic()
    with closing(Decoder(Settings(max_image_pixels=MAX_PIXELS), 2)) as decoder:
        before = 0
        for first in range(0, count, TOGETHER):
            if time.monotonic() - started > seconds:
                break
            numbers = range(first, min(count, first + TOGETHER))
            await asyncio.gather(*(_decode(decoder, seed, each, report) for each in numbers))
            if first % (64 * TOGETHER) == 0:
                peaks = [_memory(process, "VmHWM") for process in _decoders()]
                report.peak = max([report.peak, *peaks])
                own = _memory("self", "VmRSS")
                before = before or own
                report.growth = own - before
    report.seconds = time.monotonic() - started
    if report.peak > MAX_PEAK:
        report.failures.append(f"a decoder's process had {report.peak:,} bytes")
    if report.growth > MAX_GROWTH:
        report.failures.append(f"the service grew by {report.growth:,} bytes")
    return report


def run(count: int = COUNT, seed: int = 0, seconds: float = float("inf")) -> Report:
    """Decode so many mutated images, or as many as the time allows."""
    return asyncio.run(_run(count, seed, seconds))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT, help="inputs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="at most")
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    report = run(asked.count, asked.seed, asked.seconds)
    print("\n".join(report.lines()))
    return 1 if report.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
