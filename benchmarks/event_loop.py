"""The largest work that runs on the event loop: `python -m benchmarks event_loop`.

For each threshold of `service.process.event_loop` the time of the largest work that it lets in,
beside what handing work to a thread and back costs. Then what a full garbage collection takes once
the service is imported, before and after `service.process.garbage.freeze`. Medians of turns.
"""

import argparse
import asyncio
import gc
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from statistics import median

import numpy as np
from PIL import Image

from models import preprocessing
from models.images import png
from models.preprocessing import InputSpec
from service.app import create_app  # noqa: F401 (imports what a server has in memory)
from service.process import event_loop, garbage
from service.requests import simple_form
from service.requests.bodies import FORM, BodyLimits
from service.settings import Settings

SPEC = InputSpec(channels=3, height=32, width=32)
_HEAD = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n'
_TYPE = b"Content-Type: image/png\r\n\r\n"


def encoded(format: str, pixels: int, bytes_at_most: int) -> bytes:
    """Encode a square picture of `pixels` pixels, as noisy as `bytes_at_most` allows."""
    side = int(pixels**0.5)
    noise = np.random.default_rng(0).normal(0, 1, (side, side, 3))
    for strength in (80, 40, 20, 10, 5, 2, 0):
        levels = (128 + strength * noise).clip(0, 255).astype(np.uint8)
        buffer = BytesIO()
        Image.fromarray(levels).save(buffer, format)
        if len(buffer.getvalue()) <= bytes_at_most:
            break
    return buffer.getvalue()


def form(parts: int, size: int) -> bytes:
    part = _HEAD + _TYPE + b"p" * size + b"\r\n"
    return part * parts + b"--x--\r\n"


def parse(body: bytes) -> None:
    """Parse a form by the general parser, which also takes forms that are not plain."""
    limits = BodyLimits(Settings())
    parser = limits.body({b"content-type": f"{FORM}; boundary=x".encode()})
    for _ in parser.feed(body[:40], more=True):
        pass
    for _ in parser.feed(body[40:], more=False):
        pass


async def handover(turns: int) -> float:
    """Return the median seconds to run an empty function on a waiting thread and await it."""
    loop = asyncio.get_running_loop()
    seconds = []
    with ThreadPoolExecutor(1) as executor:
        for _ in range(turns):
            started = time.perf_counter()
            await loop.run_in_executor(executor, int)
            seconds.append(time.perf_counter() - started)
            await asyncio.sleep(0.001)  # the thread goes to sleep again
    return median(seconds)


def timed(work: Callable[[], object], turns: int) -> float:
    seconds = []
    for _ in range(turns):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=200)
    turns = parser.parse_args().turns
    small = encoded("PNG", png.MAX_PIXELS, 2**16)
    jpeg = encoded("JPEG", event_loop.QUICK_JPEG_PIXELS, event_loop.QUICK_JPEG_BYTES)
    plain = form(4, event_loop.SIMPLE_FORM_BYTES // 4 - 200)
    many = form(event_loop.PARTS_IN_A_ROW, 500).replace(b"name=", b"Name=")
    if preprocessing.read_small(small, SPEC) is None or simple_form.parts(plain, b"x", 4) is None:
        raise SystemExit("the largest work is refused: this measures something else")
    work: dict[str, Callable[[], object]] = {
        f"SMALL_PNG, {len(small):,} bytes": lambda: preprocessing.read_small(small, SPEC),
        f"QUICK_JPEG, {len(jpeg):,} bytes": lambda: preprocessing.read(jpeg, SPEC),
        f"SIMPLE_FORM, {len(plain):,} bytes": lambda: simple_form.parts(plain, b"x", 4),
        f"PARTS, {event_loop.PARTS_IN_A_ROW} of 500 bytes": lambda: parse(many),
    }
    print(f"{'HANDOVER, to a thread and back':40}{1e6 * asyncio.run(handover(turns)):10.0f} µs")
    for name, function in work.items():
        print(f"{name:40}{1e6 * timed(function, turns):10.0f} µs")
    gc.unfreeze()
    print(f"{'a full collection':40}{1e6 * timed(gc.collect, 20):10.0f} µs")
    garbage.freeze()
    print(f"{'a full collection, all frozen':40}{1e6 * timed(gc.collect, 20):10.0f} µs")


if __name__ == "__main__":
    main()
